'use strict';

// Kilometres at 8 litres per 100 kilometres, in whole kilometres.
function reach(litres) {
  if (!(litres >= 0)) throw new RangeError('a tank holds no such amount');
  return Math.floor((litres / 8) * 100);
}

module.exports = { reach };
