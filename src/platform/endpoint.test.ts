import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpoint, endpointBytesMax, isFile } from './endpoint.js';

test('an endpoint is a socket in its directory, and a pipe on Windows, whose name fits whatever the path is', () => {
  assert.equal(endpoint('/run/megacomet/manager.sock', 'linux'), '/run/megacomet/manager.sock');
  assert.equal(endpoint('/run/megacomet/manager.sock', 'darwin'), '/run/megacomet/manager.sock');
  const pipe = endpoint(`C:\\Users\\${'a'.repeat(300)}\\run\\manager.sock`, 'win32');
  assert.match(pipe, /^\\\\\.\\pipe\\megacomet-[0-9a-f]{32}$/);
  assert(isFile('/run/megacomet/manager.sock') && !isFile(pipe));
});

test('two paths on Windows are the same pipe where they differ in case alone', () => {
  assert.equal(endpoint('C:\\Run\\lock.sock', 'win32'), endpoint('c:\\run\\LOCK.sock', 'win32'));
  assert.notEqual(endpoint('C:\\Run\\lock.sock', 'win32'), endpoint('C:\\Run2\\lock.sock', 'win32'));
});

test('a socket address of Linux has room for four bytes more than others', () => {
  assert.deepEqual(
    (['linux', 'darwin', 'freebsd'] as const).map((system) => endpointBytesMax(system)),
    [107, 103, 103],
  );
});
