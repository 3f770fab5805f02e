// What serve records, plan reads: what to add, move or switch off.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { Server, folder, medley } from './medley.mjs';

const fleet = `
site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}, pue: 1.3}
pools:
  - {name: chat, device: h100_sxm, model: llama-3.1-8b, replicas: 3}
  - {name: large, device: h100_sxm, model: llama-3.1-70b, precision: fp8, tensor_parallel: 2}
accept: {assistant: [llama-3.1-70b]}
`;

/** Requests for `name`, so many at once. */
async function load(server, name, requests, { at_once = 8, ...more } = {}) {
  let left = requests;
  const one = async () => {
    while (left-- > 0) {
      const answer = await server.chat({
        model: name,
        messages: [{ role: 'user', content: 'word '.repeat(40 + (left % 60)) }],
        max_tokens: 20 + (left % 30),
        ...more,
      });
      assert.equal(answer.status, 200, answer.text);
    }
  };
  await Promise.all(Array.from({ length: at_once }, one));
}

test('a record says what was asked, kept and learned, and plan says what to do', async (t) => {
  const files = folder(t);
  const config = files.write('fleet.yaml', fleet);
  const usage = files.file('usage.jsonl');
  for (const round of [1, 2]) {
    const server = await Server.start(t, { fleet: config, args: ['--usage', usage] });
    await load(server, 'llama-3.1-8b', 60);
    await load(server, 'assistant', 20, { medley: { tpot: '1s' } });
    assert.deepEqual(await server.stop(), { status: 0, signal: null });
    assert.equal(fs.readFileSync(usage, 'utf8').trim().split('\n').length >= round, true, 'a restart appends');
  }

  const spans = fs.readFileSync(usage, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  const sum = (model, key) =>
    spans.flatMap((span) => span.kinds).filter((kind) => kind.model === model).reduce((all, kind) => all + kind[key], 0);
  assert.equal(sum('llama-3.1-8b', 'arrived'), 120);
  assert.equal(sum('llama-3.1-8b', 'completed'), 120);
  assert.equal(sum('assistant', 'own_targets'), 40);
  const chat = spans.at(-1).pools.find((pool) => pool.pool === 'chat');
  assert.equal(chat.up, 3);
  assert.ok(chat.joules > 0 && chat.tpot_ratio > 0.3 && chat.tpot_ratio < 30, JSON.stringify(chat));

  const planned = await medley('plan', '--from-usage', usage, '--fleet', config, '-o', 'json');
  assert.ok([0, 6].includes(planned.status), planned.err);
  const plan = JSON.parse(planned.out);
  assert.deepEqual(plan.demands.map((demand) => demand.demand), ['assistant standard', 'llama-3.1-8b standard']);
  assert.equal(plan.demands[1].requests, 120);
  assert.ok(plan.unknown.some((note) => note.includes('40 of 40 requests brought targets of their own')), plan.unknown);
  const pool = plan.pools.find((of) => of.pool === 'chat');
  assert.equal(pool.now, 3);
  assert.ok(pool.planned < 3 && /switch off/.test(pool.do), JSON.stringify(pool));

  const table = await medley('plan', '--from-usage', usage, '--fleet', config);
  assert.match(table.out, /chat .*switch off/);
  assert.match(table.out, /Unknown or assumed:/);
});

test('a record that is none', async (t) => {
  const files = folder(t);
  const config = files.write('fleet.yaml', fleet);
  const other = await medley('plan', '--from-usage', files.write('u.jsonl', '{"schema": 1}\n'), '--fleet', config);
  assert.equal(other.status, 2);
  assert.match(other.err, /u\.jsonl:1: missing key 'from_unix_s'/);
  const without = await medley('plan', '--from-usage', files.file('u.jsonl'));
  assert.equal(without.status, 2);
  assert.match(without.err, /--fleet/);
  const nowhere = await medley('serve', '--usage', files.at);
  assert.equal(nowhere.status, 2);
  assert.match(nowhere.err, /cannot write the usage file/);
});
