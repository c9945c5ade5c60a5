import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatEntry, parseApiKeys, readApiKeys } from './key-file.js';
import { API_KEYS_MAX, hashKey } from './keys.js';

const HASH = 'a'.repeat(64);
const parse = (text: string) => parseApiKeys(text, 'keys');

test('each line is a key; what formatEntry writes is read back', () => {
  const entries = [
    {
      name: 'backend',
      hash: hashKey('1'),
      rights: ['publish' as const, 'read' as const],
      channels: ['news/*', 'ünï: #"'],
    },
    { name: 'ops@example.org', hash: hashKey('2'), rights: ['admin' as const], channels: [] },
  ];
  assert.deepEqual(parse(`# keys\n${entries.map(formatEntry).join('\n')}\n`), entries);
  assert.deepEqual(parse(`- name: m\n  hash: sha256:${HASH}\n  rights: [monitor]\n`)[0].rights, ['monitor']);
});

test('a mistake is told with its place, and the whole file is refused', () => {
  const good = `- {name: a, hash: "sha256:${HASH}", rights: [admin]}\n`;
  const key = `mk_${'x'.repeat(43)}`;
  const cases: [text: string, message: RegExp][] = [
    ['', /^keys:1:1: a list of keys is expected/],
    ['a: 1', /^keys:1:1: a list of keys is expected/],
    ['[]', /^keys has no key/],
    [`${good}- [`, /^keys:2:\d+: /],
    [`${good}- 7`, /^keys:2:3: a key has the form/],
    [
      `${good}- {name: a, hash: "sha256:${'b'.repeat(64)}", rights: [admin]}`,
      /^keys:2:10: there are two keys of the name 'a'/,
    ],
    [`${good}- {name: b, hash: "sha256:${HASH}", rights: [admin]}`, /^keys:2:19: 'b' is the same key as 'a'/],
    [`- {name: "a b", hash: "sha256:${HASH}", rights: [admin]}`, /^keys:1:10: name must be 1 to 64 letters/],
    [`- {name: a, hash: ${key}, rights: [admin]}`, /^keys:1:19: hash of 'a' must be sha256:/],
    [`- {name: ${key}, hash: "sha256:", rights: [admin]}`, /^keys:1:\d+: hash of '\[redacted\]' must be sha256:/],
    [`- {name: a, hash: "sha256:${HASH}", rights: [admin], ${key}: 1}`, /'\[redacted\]' is not known/],
    [`- {name: a, hash: "sha256:${HASH}", rights: [root]}`, /^keys:1:\d+: rights of 'a' must be a list of publish/],
    [`- {name: a, hash: "sha256:${HASH}", rights: []}`, /rights of 'a'/],
    [`- {name: a, hash: "sha256:${HASH}", rights: [publish]}`, /'a' may publish, but on no channels/],
    [
      `- {name: a, hash: "sha256:${HASH}", rights: [publish], channels: ["*a"]}`,
      /channels of 'a' must be a list of patterns/,
    ],
    [`- {name: a, hash: "sha256:${HASH}", right: [publish]}`, /^keys:1:\d+: 'right' is not known/],
    [`- &a {name: a, hash: "sha256:${HASH}", rights: [admin]}\n- *a`, /alias/i],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parse(text),
      (error: Error & { code: string }) => {
        assert.match(error.message, message);
        assert.equal(error.code, 'EAPIKEYS');
        assert.ok(!error.message.includes(key), 'a key in the wrong place is not repeated');
        return true;
      },
      text,
    );
  }
  const many = Array.from({ length: API_KEYS_MAX + 1 }, (_, i) =>
    formatEntry({ name: `k${i}`, hash: hashKey(String(i)), rights: ['monitor'], channels: [] }),
  );
  assert.throws(() => parse(many.join('\n')), /more than 256 keys/);
});

test('a file that is not there says how to make one', () => {
  assert.throws(() => readApiKeys('/nonexistent/keys'), /there is no such file; megacomet key makes a first key/);
  assert.throws(() => readApiKeys('/'), /it is a directory/);
});

test('a file that is no text, or is something else by its size, is refused', () => {
  const directory = mkdtempSync(join(tmpdir(), 'megacomet-test-'));
  const path = join(directory, 'keys');
  try {
    const line = `- {name: a, hash: "sha256:${HASH}", rights: [publish], channels: ["\xff*"]}\n`;
    writeFileSync(path, line, 'latin1');
    assert.throws(() => readApiKeys(path), {
      code: 'EAPIKEYS',
      message: `the API keys in ${path} cannot be read: it is not UTF-8`,
    });
    writeFileSync(path, '#'.repeat((1 << 20) + 1));
    assert.throws(() => readApiKeys(path), { code: 'EAPIKEYS', message: /it has \d+ bytes, of 1048576 at most$/ });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
