/** The modules together, over a socket, against another implementation: npm `ws`. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { type ClientOptions, WebSocket } from 'ws';
import { type EchoOptions, listenEcho } from './testing/echo-server.js';

async function echoServer(options: EchoOptions = {}): Promise<number> {
  const { port, server } = await listenEcho(options);
  after(() => server.close());
  return port;
}

async function open(port: number, options: ClientOptions = {}): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, options);
  await once(socket, 'open');
  return socket;
}

async function closed(socket: WebSocket): Promise<[code: number, reason: string]> {
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
  return [code, reason.toString()];
}

async function echoed(socket: WebSocket, message: string | Buffer): Promise<void> {
  socket.send(message);
  const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean];
  assert.equal(isBinary, typeof message !== 'string');
  assert.ok(data.equals(Buffer.from(message as string)), `${data.length} bytes`);
}

const MESSAGES = [0, 1, 125, 126, 1000, 65_535, 65_536, 300_000].map((length) =>
  'Grüße, 世界! 🙂 '.repeat(length / 16 + 1).slice(0, length),
);

test('ws: texts and binaries of all lengths come back', async () => {
  const socket = await open(await echoServer(), { perMessageDeflate: false });
  assert.equal(socket.extensions, '');
  for (const message of MESSAGES) {
    await echoed(socket, message.replace(/[\ud800-\udbff]$/, ''));
    await echoed(socket, Buffer.from(message, 'utf16le'));
  }
  socket.close(4321, 'enough');
  assert.deepEqual(await closed(socket), [4321, '']);
});

test('ws: so they do compressed, in every window', async () => {
  const port = await echoServer({ compressionBytesMin: 0 });
  const windows = [undefined, 9, 12, 15];
  for (const serverMaxWindowBits of windows) {
    const perMessageDeflate =
      serverMaxWindowBits === undefined ? { threshold: 0 } : { threshold: 0, serverMaxWindowBits };
    const socket = await open(port, { perMessageDeflate });
    assert.match(socket.extensions, /^permessage-deflate/);
    for (const message of MESSAGES) {
      await echoed(socket, message.replace(/[\ud800-\udbff]$/, ''));
      await echoed(socket, Buffer.from(message, 'utf16le'));
    }
    socket.close();
    assert.deepEqual(await closed(socket), [1005, '']);
  }
});

test('ws: a message in fragments comes back whole, and pings are answered in between', async () => {
  const socket = await open(await echoServer());
  socket.send('one, ', { fin: false });
  socket.ping('are you there?');
  const [pong] = (await once(socket, 'pong')) as [Buffer];
  assert.equal(pong.toString(), 'are you there?');
  socket.send('two, ', { fin: false });
  socket.send('three', { fin: true });
  const [data] = (await once(socket, 'message')) as [Buffer];
  assert.equal(data.toString(), 'one, two, three');
  socket.close();
  await closed(socket);
});

test('ws: a message over the limit is answered with 1009', async () => {
  const port = await echoServer({ messageBytesMax: 1000 });
  for (const perMessageDeflate of [false, { threshold: 0 }]) {
    const socket = await open(port, { perMessageDeflate });
    await echoed(socket, 'x'.repeat(1000));
    socket.send('x'.repeat(1001));
    assert.deepEqual(await closed(socket), [1009, 'message too large']);
  }
});

/** All that the server answers to a handshake of that version and the bytes after it, until it closes. */
async function answerTo(version: number, more: Buffer): Promise<string> {
  const socket = connect(await echoServer(), '127.0.0.1');
  const fields = `Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: ${version}\r\n`;
  const head = `GET / HTTP/1.1\r\n${fields}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
  socket.write(Buffer.concat([Buffer.from(head), more]));
  const chunks: Buffer[] = await socket.toArray();
  return Buffer.concat(chunks).toString('latin1');
}

test('a message that is sent together with the handshake comes back', async () => {
  const helloAndClose = Buffer.from('818537fa213d7f9f4d5158 888037fa213d'.replace(' ', ''), 'hex');
  const answer = await answerTo(13, helloAndClose);
  assert.equal(answer.slice(answer.indexOf('\r\n\r\n') + 4), '\x81\x05Hello\x88\x00');
});

test('a client of another version is told ours', async () => {
  const answer = await answerTo(14, Buffer.alloc(0));
  assert.match(answer, /^HTTP\/1\.1 426 Upgrade Required\r\n/);
  assert.match(answer, /\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: close, upgrade\r\n/);
});
