/**
 * The bench's `ws` row: the usual WebSocket server of Node, without compression (its default), each message one text
 * frame to every client. Connections stay open after a message.
 *
 * Like every server of the bench it prints its port, sends everybody what arrives on its standard input, and ends when
 * that ends.
 */

import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, backlog: 4096 });
server.on('listening', () => {
  console.log((server.address() as AddressInfo).port);
});

// A client that resets its connection is an error of that socket, and here an ordinary end.
server.on('connection', (socket) => socket.on('error', () => socket.terminate()));

process.stdin.on('data', (message: Buffer) => {
  for (const client of server.clients) {
    client.send(message, { binary: false });
  }
});
process.stdin.on('end', () => process.exit(0));
