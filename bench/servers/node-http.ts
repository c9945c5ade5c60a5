/**
 * The bench's `node:http` row: each request waits for its response, as a long-poll written with stock Node does.
 *
 * Like every server of the bench it prints its port, answers everybody who waits with what arrives on its standard
 * input, and ends when that ends.
 */

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const waiting = new Set<ServerResponse>();

function forget(this: ServerResponse): void {
  waiting.delete(this);
}

const server = createServer((_request, response) => {
  waiting.add(response);
  response.on('close', forget);
});
server.requestTimeout = 0;
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.log((server.address() as AddressInfo).port);
});

process.stdin.on('data', (message: Buffer) => {
  const headers = { 'Content-Type': 'text/plain', 'Content-Length': message.length, Connection: 'close' };
  for (const response of waiting) {
    response.writeHead(200, headers);
    response.end(message);
  }
});
process.stdin.on('end', () => process.exit(0));
