// What is wrong gets one clear message and the right status, and the process goes on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, folder, medley } from './medley.mjs';

const fleet = `
site: {zone: here}
labels: {public: {zones: any}, restricted: {zones: [here]}}
default_label: restricted
pools:
  - {name: gpu, device: h100_sxm, model: llama-3.1-8b, precision: bf16, engine: emulated}
  - {name: far, device: h100_sxm, model: llama-3.2-1b, precision: bf16, engine: emulated, zone: there}
`;
const hello = { model: 'llama-3.1-8b', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4 };

test('files and command lines', async (t) => {
  const files = folder(t);
  const cases = [
    [['serve', '-c', files.write('a.yaml', 'pools:\n  - {name: a, devise: h100_sxm, model: llama-3.1-8b}\n')], 2,
      /a\.yaml:2:15: pools\[0\]: unknown key 'devise', did you mean 'device'\?/],
    [['serve', '-c', files.write('b.yaml', 'pools:\n  - {name: a, device: h100_sxn, model: llama-3.1-8b}\n')], 2,
      /b\.yaml:2:23: .*'h100_sxn'.*did you mean 'h100_sxm'/],
    [['serve', '-c', files.write('c.yaml', 'pools:\n  - {name: a, device: h100_sxm, model: llama-3.1-70b, precision: bf16}\n')], 2,
      /c\.yaml: pool 'a': llama-3\.1-70b at bf16 needs 141\.1 GB.*tensor_parallel 2 would fit/],
    [['serve', '-c', files.write('d.yaml', 'classes: {standard: {ttft_s: 5kg}}\npools:\n  - {name: a, device: h100_sxm, model: llama-3.1-8b}\n')], 2,
      /d\.yaml:1:\d+: classes\.standard\.ttft_s: .*'5kg'/],
    [['serve', '-c', files.file('none.yaml')], 2, /none\.yaml/],
    [['serve', '--listen', 'nonsense'], 2, /nonsense/],
    [['simulte'], 2, /no verb 'simulte', did you mean 'simulate'/],
    [['catalog', 'accelerators', 'h100x'], 4, /did you mean/],
    [['catalog', 'models', 'lama-3.1-8b'], 4, /llama-3\.1-8b/],
    [['explain', 'nonsense'], 2, /expected req-/],
  ];
  files.write('torn.csv', 'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,39\n');
  files.write('fleet.yaml', fleet);
  cases.push([['simulate', files.write('torn.yaml', 'fleet: fleet.yaml\ntrace: {path: torn.csv, format: azure}\n')], 2, /torn\.csv:3/]);
  for (const [line, status, message] of cases) {
    const ended = await medley(...line);
    assert.equal(ended.status, status, `${line.join(' ')}: ${ended.err}`);
    assert.match(ended.err, message);
    assert.equal(ended.out, '', 'messages go to standard error');
  }
});

test('no file moves the cursor of a terminal', async (t) => {
  const files = folder(t);
  const scenario = files.write('named.yaml', `
pools: [{name: "a\\eb", device: h100_sxm, model: llama-3.1-8b, precision: bf16}]
workload: {requests: 3, rate_per_s: 1, prompt_tokens: 10, output_tokens: 2}
expected: {"x\\ey": 1}
`);
  for (const line of [['simulate', scenario], ['simulate', '\u001b[2J.yaml'], ['trace', 'info', '\u001b[2J.csv']]) {
    const { out, err } = await medley(...line);
    assert.ok(err.length > 0);
    assert.doesNotMatch(out + err, /\u001b/, line.join(' '));
  }
});

test('requests', async (t) => {
  const server = await Server.start(t, { fleet: folder(t).write('fleet.yaml', fleet) });
  const chat = (change, headers) => server.chat({ ...hello, ...change }, headers);
  const cases = [
    ['malformed JSON', server.chat('{"model": '), 400, null],
    ['no model', chat({ model: undefined }), 400, 'model'],
    ['unknown model', chat({ model: 'llama-3.1-9b' }), 404, 'model'],
    ['wrong type', chat({ messages: 'Hello' }), 400, 'messages'],
    ['wrong type within', chat({ messages: [{ role: 'user', content: 7 }] }), 400, 'messages[0].content'],
    ['out of range', chat({ temperature: 3 }), 400, 'temperature'],
    ['unknown tier', chat({ service_tier: 'priorty' }), 400, 'service_tier'],
    ['unknown label', chat({}, { 'medley-label': 'secret' }), 400, 'medley-label'],
    ['unknown class', chat({}, { 'medley-class': 'batches' }), 400, 'medley-class'],
    ['bad target', chat({}, { 'medley-ttft': 'soon' }), 400, 'medley-ttft'],
    ['over-long prompt', chat({ messages: [{ role: 'user', content: 'word '.repeat(200_000) }] }), 400, 'messages'],
    ['no lawful pool', chat({ model: 'llama-3.2-1b' }), 403, 'medley-label'],
  ];
  for (const [what, asked, status, param] of cases) {
    const answer = await asked;
    assert.equal(answer.status, status, `${what}: ${answer.text}`);
    assert.deepEqual(Object.keys(answer.json.error).sort(), ['code', 'message', 'param', 'type'], what);
    if (what === 'no lawful pool') {
      assert.equal(answer.json.error.code, 'no_lawful_pool');
    } else {
      assert.equal(answer.json.error.param, param, `${what}: ${answer.text}`);
    }
  }
  assert.equal((await server.ask('/v1/nothing')).status, 404);
  const good = await chat({});
  assert.equal(good.status, 200, good.text);
  assert.equal(good.json.medley.engine, 'emulated');
  assert.deepEqual(await server.stop(), { status: 0, signal: null });
});

test('explain says where an answer came from', async (t) => {
  const files = folder(t);
  const log = files.file('decisions.jsonl');
  const server = await Server.start(t, { fleet: files.write('fleet.yaml', fleet), args: ['--decisions', log] });
  const answer = await server.chat(hello);
  const id = answer.headers.get('medley-request-id');
  assert.equal(id, answer.headers.get('x-request-id'));
  const refused = await server.chat({ ...hello, model: 'llama-3.2-1b' });
  await server.stop();
  const told = await medley('explain', id, '--decisions', log);
  assert.equal(told.status, 0, told.err);
  assert.match(told.out, /dispatched to gpu/);
  assert.match(told.out, /what happened: completed/);
  const why = await medley('explain', refused.headers.get('x-request-id'), '--decisions', log);
  assert.match(why.out, /the label may not be processed in its zone/);
  assert.equal((await medley('explain', 'req-0fffffff', '--decisions', log)).status, 4);
});
