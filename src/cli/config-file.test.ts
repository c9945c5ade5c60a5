import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Command } from 'commander';
import { type ConfigFile, parseConfigFile } from './config-file.js';
import { addServeFlags } from './flags.js';

const PATH = '/etc/megacomet/server.yaml';

function parse(text: string): ConfigFile {
  return parseConfigFile(text, PATH, addServeFlags(new Command()).options);
}

/** The parsed values by option, of a file without problems. */
function valuesOf(text: string): Record<string, unknown> {
  const { values, problems } = parse(text);
  assert.deepEqual(problems, []);
  return Object.fromEntries(values.map(({ option, value }) => [option.name(), value]));
}

function problemsOf(text: string): string[] {
  const { problems } = parse(text);
  return problems.map((problem) => {
    assert.ok(problem.startsWith(`${PATH}:`), problem);
    return problem.slice(PATH.length + 1);
  });
}

describe('a configuration file', () => {
  test('gives each option its value, as its own parser reads it', () => {
    const text = 'client-ports: 8000-8002\nretain-bytes: 2MiB\nclassic-port: none\nhost: "::1"\nlog: memory\n';
    assert.deepEqual(valuesOf(text), {
      'client-ports': [8000, 8001, 8002],
      'retain-bytes': 2 << 20,
      'classic-port': 'none',
      host: '::1',
      log: 'memory',
    });
  });

  test('may have nothing in it', () => {
    for (const text of ['', '# nothing\n', '---\n', '{}\n']) assert.deepEqual(valuesOf(text), {});
  });

  test('takes YAML lists where an option takes several values', () => {
    const text = 'client-ports: [8000, 8100-8101]\nclient-publish:\n  - chat/*\n  - lobby\n';
    assert.deepEqual(valuesOf(text), { 'client-ports': [8000, 8100, 8101], 'client-publish': ['chat/*', 'lobby'] });
    assert.deepEqual(valuesOf('client-publish: chat/*,lobby\n'), { 'client-publish': ['chat/*', 'lobby'] });
    assert.deepEqual(valuesOf('client-publish: []\n'), { 'client-publish': [] });
  });

  test('takes rules of retention as a map or as a list', () => {
    const rules = [
      { pattern: 'news/*', messages: 1000, seconds: 3600 },
      { pattern: 'a=b', messages: 1 },
    ];
    assert.deepEqual(valuesOf('retain:\n  news/*: 1000/1h\n  "a=b": 1\n'), { retain: rules });
    assert.deepEqual(valuesOf('retain:\n  - news/*=1000/1h\n  - a=b=1\n'), { retain: rules });
  });

  test('turns switches on and off by true and false', () => {
    assert.deepEqual(valuesOf('test-echo: true\n'), { 'test-echo': true });
    assert.deepEqual(valuesOf('test-echo: false\n'), { 'test-echo': undefined });
    assert.deepEqual(problemsOf('test-echo: "yes"\n'), ['1:12: test-echo is true or false']);
  });

  test('has paths that start in its own directory', () => {
    assert.deepEqual(valuesOf('data-dir: data\nrun-dir: /run/m\n'), {
      'data-dir': '/etc/megacomet/data',
      'run-dir': '/run/m',
    });
  });

  test('may use anchors and aliases', () => {
    assert.deepEqual(valuesOf('host: &all 0.0.0.0\napi-host: *all\n'), { host: '0.0.0.0', 'api-host': '0.0.0.0' });
  });

  test('takes numbers as they are written, not as YAML reads them', () => {
    assert.deepEqual(problemsOf('api-port: 0x2329\n'), [
      "1:11: api-port '0x2329' is invalid. Allowed: a port from 1 to 65535, or 0 for any free one.",
    ]);
  });
});

describe('a configuration file that is wrong', () => {
  test('has all its problems told, each with line and column', () => {
    const text = 'hots: 127.0.0.1\napi-port: 99999\nretain:\n  - news/*=1000\n  - news=1y\nworkers: [1, 2]\n';
    const problems = problemsOf(text);
    assert.deepEqual(
      problems.map((problem) => problem.split(' ')[0]),
      ['1:1:', '2:11:', '5:5:', '6:10:'],
    );
    assert.match(problems[2]!, /retain 'news=1y' is invalid\. '1y' is no limit/);
    assert.match(problems[3]!, /workers takes one value, not a list/);
  });

  const unknown: [string, string][] = [
    ['client-port', "did you mean 'client-ports'?"],
    ['clientPorts', "did you mean 'client-ports'?"],
    ['max_connections', "did you mean 'max-connections'?"],
    ['--host', "did you mean 'host'?"],
    ['retian', "did you mean 'retain'?"],
    ['banana', 'megacomet serve --help lists all'],
    ['config', 'megacomet serve --help lists all'],
  ];
  for (const [key, hint] of unknown) {
    test(`is told what may have been meant by '${key}'`, () => {
      const [problem] = problemsOf(`# first\n${key}: 1\n`);
      assert.ok(problem!.startsWith(`2:1: '${key}' is no option; `) && problem!.endsWith(hint), problem);
    });
  }

  const broken: [string, string, RegExp][] = [
    ['a list', '- host\n', /^1:1: a configuration is a map/],
    ['a word', 'host\n', /^1:1: a configuration is a map/],
    ['a key twice', 'host: ::1\nhost: ::1\n', /^2:1: Map keys must be unique/],
    ['an open quote', 'host: "::1\n', /^2:1: Missing closing "quote/],
    ['tabs', 'retain:\n\tnews: 1\n', /^2:1: /],
    ['no value', 'host:\n', /^1:1: host has no value/],
    ['a map for one value', 'host: {a: b}\n', /^1:7: host takes one value, not a map/],
    ['a map for a list', 'client-publish: {a: b}\n', /^1:17: client-publish takes a list, not a map/],
    ['a list in a list', 'client-publish: [[a]]\n', /^1:18: client-publish takes a list of plain values/],
    ['an alias of nothing', 'host: *all\n', /^1:7: /],
    ['two documents', 'host: ::1\n---\nhost: ::1\n', /^2:1: /],
  ];
  for (const [name, text, expected] of broken) {
    test(`is refused: ${name}`, () => {
      const problems = problemsOf(text);
      assert.ok(problems.length > 0);
      assert.match(problems[0]!, expected);
    });
  }

  test('cannot be made to unfold into gigabytes', () => {
    let text = 'client-publish: &a0 [x, x]\n';
    for (let i = 1; i < 40; i++) text += `k${i}: &a${i} [*a${i - 1}, *a${i - 1}]\n`;
    assert.equal(problemsOf(text).length, 39);
  });
});
