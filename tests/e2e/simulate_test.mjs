// `medley simulate` from outside: the same digest twice, rows that add up. Other people's reference answers: tests/reference.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { folder, medley, root, run, binary, shared } from './medley.mjs';

async function simulate(scenario, ...args) {
  const { status, out, err } = await medley('simulate', scenario, '-o', 'json', ...args);
  assert.equal(status, 0, err);
  return JSON.parse(out);
}

function read_csv(file) {
  const [head, ...lines] = fs.readFileSync(file, 'utf8').trim().split('\n').map((line) => line.split(','));
  return lines.map((cells) => Object.fromEntries(head.map((name, i) => [name, cells[i]])));
}

const sum = (rows, value) => rows.reduce((total, row) => total + Number(value(row)), 0);
const close = (a, b) => assert.ok(Math.abs(a - b) <= 1e-6 * Math.max(1, Math.abs(b)), `${a} is not ${b}`);

function check_sums(report, rows) {
  const done = rows.filter((row) => row.outcome === 'completed');
  assert.equal(rows.length, report.requests);
  assert.equal(done.length, report.completed);
  assert.equal(rows.filter((row) => row.outcome === 'rejected').length, report.rejected);
  assert.equal(sum(rows, (row) => row.kept), report.kept);
  assert.equal(sum(done, (row) => row.prompt_tokens), report.prompt_tokens);
  assert.equal(sum(done, (row) => row.output_tokens), report.output_tokens);
  close(sum(done, (row) => row.joules), report.request_joules);
  close(sum(done, (row) => row.money), report.request_money);
  close(sum(done, (row) => row.first_token_s - row.arrived_s) / done.length, report.ttft_s.mean);
  for (const [name, of_class] of Object.entries(report.classes)) {
    assert.equal(rows.filter((row) => row.class === name).length, of_class.requests);
    assert.equal(sum(rows.filter((row) => row.class === name), (row) => row.kept), of_class.kept);
  }
  for (const pool of report.pools) {
    assert.equal(done.filter((row) => row.pool === pool.name).length, pool.requests);
  }
}

test('the same scenario gives the same digest twice, and its rows add up to its report', async (t) => {
  const files = folder(t);
  const scenario = path.join(root, 'scenarios/burst-and-loss.yaml');
  const first = await simulate(scenario, '--requests-csv', files.file('rows.csv'));
  const second = await simulate(scenario);
  assert.equal(first.decision_digest, second.decision_digest);
  check_sums(first, read_csv(files.file('rows.csv')));
  // Another policy decides otherwise, or the digest would say nothing.
  const other = await simulate(scenario, '--placement', 'round_robin').catch((error) => error.message);
  assert.notEqual(other.decision_digest, first.decision_digest);
});

test('a run can be replayed from its own rows', async (t) => {
  const files = folder(t);
  const scenario = files.write('one.yaml', `
fleet: ${path.join(root, 'scenarios/fleet-mixed.yaml')}
workload: {requests: 500, rate_per_s: 40, prompt_tokens: {median: 500, sigma: 0.8, max: 4000}, output_tokens: {median: 100, sigma: 0.6, max: 600}}
mix: {classes: {guaranteed: 0.3, standard: 0.7}, labels: {public: 0.5, internal: 0.5}, model: chat}
`);
  const first = await simulate(scenario, '--requests-csv', files.file('rows.csv'));
  const again = await simulate(files.write('two.yaml', `
fleet: ${path.join(root, 'scenarios/fleet-mixed.yaml')}
trace: {path: rows.csv, format: medley}
`));
  assert.equal(again.decision_digest, first.decision_digest);
});

const azure = path.join(shared, 'traces/azure2023/conv.csv');
test('the Azure conversation trace over the mixed fleet', { skip: fs.existsSync(azure) ? false : `no ${azure}` }, async (t) => {
  const files = folder(t);
  const args = [path.join(root, 'scenarios/azure-conversation.yaml'), '--trace', azure];
  const first = await simulate(...args, '--requests-csv', files.file('rows.csv'));
  const second = await simulate(...args);
  assert.equal(first.requests, 19366);
  assert.equal(first.decision_digest, second.decision_digest);
  check_sums(first, read_csv(files.file('rows.csv')));
  const timed = await run('bash', ['-c', `time ${[binary, 'simulate', ...args].map((a) => `'${a}'`).join(' ')} >/dev/null`]);
  t.diagnostic(`attainment ${(100 * first.attainment).toFixed(1)} %, digest ${first.decision_digest}; one run took ` +
    timed.err.trim().replace(/\s+/g, ' '));
});

test('a measured table answers outside its range and says how often', async (t) => {
  const files = folder(t);
  files.write('measured.csv', `model,hardware,prompt_size,batch_size,prompt_time,token_time,tensor_parallel
m,card,100,1,20,10,2
m,card,1000,1,110,12,2
`);
  const scenario = (count, prompt) => files.write(`of_${prompt}.yaml`, `
placement: round_robin
pools:
  - {name: card, batching: mixed, kv_blocks: 1000, step_times: {format: splitwise_perf_model, path: measured.csv, model: m,
     hardware: card, tensor_parallel: 2}}
workload: {requests: ${count}, rate_per_s: 0.1, arrivals: constant, prompt_tokens: ${prompt}, output_tokens: 4}
`);
  // Prompts of 200 lie inside, the three decodes of each request do not; those of 50 lie below.
  const inside = await simulate(scenario(5, 200));
  assert.equal(inside.steps, 5 * 4);
  assert.equal(inside.extrapolated_steps, 5 * 3);
  assert.equal(inside.pools[0].extrapolated_steps, 5 * 3);
  close(inside.ttft_s.mean, 0.03);
  const below = await simulate(scenario(5, 50));
  assert.equal(below.extrapolated_steps, below.steps);
  close(below.ttft_s.mean, 0.015);
  const { out } = await medley('simulate', scenario(5, 200));
  assert.match(out, /extrapolated: 15 of 20 steps of pool card lie outside the range that its table was measured in/);
});

test('rows that cannot be written are an error', { skip: fs.existsSync('/dev/full') ? false : 'no /dev/full' }, async () => {
  const { status, err } = await medley('simulate', path.join(root, 'scenarios/burst-and-loss.yaml'), '--requests-csv', '/dev/full');
  assert.equal(status, 1);
  assert.match(err, /'\/dev\/full' is incomplete: No space left on device/);
});
