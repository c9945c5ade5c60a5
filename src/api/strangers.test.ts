import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { ApiKeys, hashKey } from './keys.js';
import { CONNECTIONS_MAX } from './strangers.js';
import { ApiRig } from './testing/api-rig.js';

const keys = new ApiKeys([{ name: 'ops', hash: hashKey('ops'), rights: ['admin'], channels: [] }]);
const rig = new ApiRig({ keys });
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const sockets: Socket[] = [];

before(() => rig.listen());
after(async () => {
  agent.destroy();
  for (const socket of sockets) socket.destroy();
  await rig.close();
});

/** Opens connections that say nothing. @returns when the server has them, or has ended them */
async function flood(count: number): Promise<Socket[]> {
  const opened = Array.from({ length: count }, () =>
    connect(rig.port, '127.0.0.1')
      .on('error', () => {})
      .resume(),
  );
  sockets.push(...opened);
  await Promise.all(opened.map((socket) => once(socket, 'connect')));
  return opened;
}

/** A request over the one connection that is kept. @returns its status, and whether the connection had served before */
function ask(): Promise<[status: number | undefined, reused: boolean]> {
  const headers = { authorization: 'Bearer ops' };
  return new Promise((resolve, reject) => {
    const request = get(`${rig.url}/v1/status`, { agent, headers }, (response) => {
      response.resume().once('end', () => resolve([response.statusCode, request.reusedSocket]));
    });
    request.once('error', reject);
  });
}

test('strangers who open as many connections as they can take no place from who has a key', async () => {
  const silent = await flood(CONNECTIONS_MAX);
  const oldestEnded = once(silent[0]!, 'close');
  assert.deepEqual(await ask(), [200, false], 'who comes later is served');
  await oldestEnded;
  assert.equal(silent.at(-1)!.closed, false, 'it was the oldest that went');
  await flood(CONNECTIONS_MAX);
  assert.deepEqual(await ask(), [200, true], 'who has shown a key stays');
});
