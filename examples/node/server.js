'use strict';

const http = require('node:http');
const { reach } = require('./range.js');

http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  let [status, body] = [404, 'no such page'];
  if (url.pathname === '/health') {
    [status, body] = [200, 'ok'];
  } else if (url.pathname === '/range') {
    try {
      [status, body] = [200, `${reach(Number(url.searchParams.get('fuel')))} km`];
    } catch (error) {
      [status, body] = [400, error.message];
    }
  }
  response.writeHead(status, { 'content-type': 'text/plain' });
  response.end(body);
}).listen(Number(process.env.PORT), '127.0.0.1');
