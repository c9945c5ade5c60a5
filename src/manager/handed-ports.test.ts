import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { HandedPorts } from './handed-ports.js';
import { createLogger } from './logger.js';

const logger = createLogger(() => {});

/** A worker that answers each client with its name, once it was told to want some. */
const WORKER = `
  const name = process.argv[1];
  process.on('message', (message, socket) => {
    if (message.say) return process.send(message.say);
    if (name === 'refuses') socket.destroy();
    process.send({ client: message.client, taken: name !== 'refuses' });
    if (name !== 'refuses') socket.end(name + message.listener);
  });
  process.send('hello');
`;

async function worker(ports: HandedPorts, name: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', WORKER, name], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await once(child, 'message');
  ports.spawned(child);
  return child;
}

async function wantsClients(child: ChildProcess, wants = true): Promise<void> {
  child.send({ say: { wanted: wants } });
  await once(child, 'message');
}

function client(ports: HandedPorts, port = 0): Socket {
  return connect(Number(ports.addresses[port].split(':')[1]), '127.0.0.1').setEncoding('latin1');
}

/** What a client is told before its end. */
async function answer(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => (text += chunk));
  await once(socket, 'close');
  return text;
}

async function end(ports: HandedPorts, ...children: ChildProcess[]): Promise<void> {
  ports.close();
  for (const child of children) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}

describe('clients that are handed over', () => {
  test('go to the workers in turn, with the port that they came to', async () => {
    const ports = await HandedPorts.open('127.0.0.1', [0, 0], logger);
    const [a, b] = [await worker(ports, 'a'), await worker(ports, 'b')];
    await wantsClients(a);
    await wantsClients(b);
    const answers: string[] = [];
    for (let i = 0; i < 4; i++) answers.push(await answer(client(ports, i % 2)));
    assert.deepEqual(
      answers.map((text) => text[1]),
      ['0', '1', '0', '1'],
    );
    assert.deepEqual(answers.map((text) => text[0]).sort(), ['a', 'a', 'b', 'b']);
    await end(ports, a, b);
  });

  test('wait while nobody wants them, and are served when somebody does', async () => {
    const ports = await HandedPorts.open('127.0.0.1', [0], logger);
    const a = await worker(ports, 'a');
    const answers = [client(ports), client(ports), client(ports)].map(answer);
    await wantsClients(a);
    assert.deepEqual(await Promise.all(answers), ['a0', 'a0', 'a0']);
    await wantsClients(a, false);
    const late = answer(client(ports));
    const b = await worker(ports, 'b');
    await wantsClients(b);
    assert.equal(await late, 'b0');
    await end(ports, a, b);
  });

  test('are handed to another worker where the first ends before it has them', async () => {
    const ports = await HandedPorts.open('127.0.0.1', [0], logger);
    const a = await worker(ports, 'a');
    await wantsClients(a);
    a.kill('SIGSTOP');
    const waiting = answer(client(ports));
    // Until it is on its way to a process that will never read it.
    await delay(200);
    const b = await worker(ports, 'b');
    await wantsClients(b);
    a.kill('SIGKILL');
    assert.equal(await waiting, 'b0');
    await end(ports, a, b);
  });

  test('are handed to another worker where the first cannot take them after all', async () => {
    const ports = await HandedPorts.open('127.0.0.1', [0], logger);
    const refuses = await worker(ports, 'refuses');
    await wantsClients(refuses);
    const waiting = answer(client(ports));
    const a = await worker(ports, 'a');
    await wantsClients(a);
    await wantsClients(refuses, false);
    assert.equal(await waiting, 'a0');
    await end(ports, a, refuses);
  });

  test('that wait when the ports are closed are turned away, and no more can come', async () => {
    const ports = await HandedPorts.open('127.0.0.1', [0], logger);
    const waiting = client(ports);
    await once(waiting, 'connect');
    await delay(50);
    ports.close();
    waiting.on('error', () => {});
    await once(waiting, 'close');
    await assert.rejects(once(client(ports), 'connect'), { code: 'ECONNREFUSED' });
  });

  test('a port that is taken is named, with the cure, and those that were open are closed', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    await assert.rejects(HandedPorts.open('127.0.0.1', [0, port], logger), {
      code: 'EADDRINUSE',
      message: new RegExp(`port ${port} on 127.0.0.1 is taken; stop the program`),
    });
    other.close();
  });
});
