'use strict';

const test = require('node:test');
const assert = require('node:assert');
const { reach } = require('./range.js');

test('a tank', () => assert.strictEqual(reach(40), 500));
test('whole kilometres', () => assert.strictEqual(reach(0.1), 1));
test('no amount', () => assert.throws(() => reach(NaN), RangeError));
