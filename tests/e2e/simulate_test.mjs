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

test('what is unknown is not 0', async (t) => {
  const files = folder(t);
  files.write('measured.csv', `model,hardware,prompt_size,batch_size,prompt_time,token_time,tensor_parallel
m,card,100,1,20,10,2
m,card,1000,1,110,12,2
`);
  const scenario = (kv_blocks, more) => files.write(`${kv_blocks}.yaml`, `
placement: round_robin
pools:
  - {name: card, batching: mixed, kv_blocks: ${kv_blocks}, step_times: {format: splitwise_perf_model, path: measured.csv, model: m,
     hardware: card, tensor_parallel: 2}}
workload: {requests: 5, rate_per_s: 0.1, prompt_tokens: 200, output_tokens: 1}
${more}
`);
  // A table says nothing of energy, and answers of one token nothing of TPOT.
  const tables = await medley('simulate', scenario(1000, ''), '--report', files.file('one.html'));
  assert.match(tables.out, /^energy unknown, of which requests unknown;/m);
  assert.match(tables.out, /^not in these sums, since unknown: the energy of card$/m);
  const one = await simulate(scenario(1000, ''));
  assert.deepEqual([one.joules, one.request_joules, one.tpot_s.p99], [null, null, null]);
  assert.ok(one.ttft_s.p99 > 0);
  // Nobody has room: no figure of latency is known, and none can be expected.
  const refused = scenario(4, 'expected: {rejected: 5, ttft_s.p99: 0}');
  const missed = await medley('simulate', refused, '-o', 'json', '--report', files.file('none.html'));
  assert.equal(missed.status, 6);
  assert.match(missed.err, /expected\.ttft_s\.p99 is 0, came out unknown/);
  assert.deepEqual(JSON.parse(missed.out).ttft_s, { mean: null, p50: null, p90: null, p99: null, max: null });
  for (const page of ['one.html', 'none.html'])
    assert.doesNotMatch(fs.readFileSync(files.file(page), 'utf8'), />0 ms</, page);
  assert.match((await medley('simulate', refused)).out, /^standard +5 +0 .* - +- +- +- +- +- +- +0\.00$/m);
});

test('rows that cannot be written are an error', { skip: fs.existsSync('/dev/full') ? false : 'no /dev/full' }, async () => {
  const { status, err } = await medley('simulate', path.join(root, 'scenarios/burst-and-loss.yaml'), '--requests-csv', '/dev/full');
  assert.equal(status, 1);
  assert.match(err, /'\/dev\/full' is incomplete: No space left on device/);
});

test('policies side by side', async (t) => {
  const files = folder(t);
  const scenario = path.join(root, 'scenarios/burst-and-loss.yaml');
  const line = [scenario, '--compare', 'medley,round_robin', '--load', '0.5,1', '--seeds', '1..2,7'];
  const all = await simulate(...line, '--report', files.file('one.html'));
  assert.deepEqual(all.map((entry) => [entry.load, entry.policy]),
    [[0.5, 'medley'], [0.5, 'round_robin'], [1, 'medley'], [1, 'round_robin']]);
  for (const entry of all) {
    assert.deepEqual(entry.seeds, [1, 2, 7]);
    const { mean, low, high } = entry.value_goodput;
    assert.ok(low <= mean && mean <= high && mean > 0 && mean <= 1);
    assert.deepEqual(Object.keys(entry.attainment), ['guaranteed', 'standard', 'flex', 'batch']);
    assert.ok(entry.dollars_per_good > 0 && entry.joules_per_good > 0);
    assert.ok(entry.share_of_bound <= 1, 'nobody earns more than the bound');
    assert.ok(entry.bound_gap >= 0 && entry.bound_gap < 0.05);
  }
  assert.ok(all[2].share_of_bound > 0.95, 'and medley comes near it where little is scarce');
  assert.ok(all[2].value_goodput.mean > all[3].value_goodput.mean, 'medley does better than taking turns');
  // One run is what simulate says of it; the same command writes the same page.
  const [alone] = await simulate(scenario, '--compare', 'medley');
  const one = await simulate(scenario);
  assert.equal(alone.value_goodput.mean, one.value_goodput);
  assert.equal(alone.dollars_per_good, one.money_per_good);
  assert.equal(alone.share_of_bound, one.share_of_bound);
  assert.equal(alone.bound_gap, one.bound_gap);
  assert.ok(one.share_of_bound > 0.95 && one.share_of_bound <= 1);
  assert.equal(one.bound_left_out, undefined);
  assert.equal(alone.value_goodput.low, null);
  close(one.net_value, one.value_kept - one.request_money);
  await simulate(...line, '--report', files.file('two.html'));
  const page = fs.readFileSync(files.file('one.html'), 'utf8');
  assert.equal(page, fs.readFileSync(files.file('two.html'), 'utf8'));
  assert.doesNotMatch(page, /<script|https?:/);
  const single = await medley('simulate', scenario, '--report', files.file('single.html'));
  assert.match(single.out, /^[0-9.]+ % of the bound, which no policy could exceed \(it may be up to [0-9.]+ % too high\)$/m);
  assert.match(fs.readFileSync(files.file('single.html'), 'utf8'), /% of the bound, which no policy could exceed/);
  const { out, err } = await medley('simulate', ...line);
  assert.match(out, /^ +1 +round_robin +[0-9.]+ % .* -[0-9.]+ ± [0-9.]+$/m);
  assert.equal(err, '', 'no progress bar where nobody looks');
  assert.match(out, /of bound +gap/);
  const bad = await medley('simulate', scenario, '--compare', 'rund_robin_of_sorts');
  assert.match(bad.err, /known: medley, round_robin, .*greedy_cheapest, edf_composite$/m);
  const [at_one] = await simulate(scenario, '--compare', 'round_robin', '--load', 'one');
  assert.equal(at_one.load, at_one.load_one);
  assert.equal((await medley('simulate', scenario, '--compare', 'medley', '--load', 'xone')).status, 2);
});

test('what cannot be compared', async () => {
  const scenario = path.join(root, 'scenarios/burst-and-loss.yaml');
  for (const [args, message] of [
    [['--compare', 'medly'], /--compare: unknown policy 'medly', did you mean 'medley'\?/],
    [['--compare', ''], /--compare/],
    [['--compare', 'medley,medley'], /--compare: 'medley' stands there twice/],
    [['--compare', 'medley', '--load', '1,0'], /--load: expected numbers from 0\.001 to 1000 like 0\.5,1, .* got '0'/],
    [['--compare', 'medley', '--load', ''], /--load/],
    [['--compare', 'medley', '--seeds', '20..11'], /--seeds: expected seeds like 11\.\.20 or 1,5,7, got '20\.\.11'/],
    [['--compare', 'medley', '--seeds', '0..99999999'], /--seeds: more than 10000 seeds/],
    [['--compare', 'medley', '--seeds', '1,1'], /--seeds: 1 stands there twice/],
    [['--compare', 'medley', '--placement', 'medley'], /--compare/],
    [['--prediction-error', '2.1'], /--prediction-error: expected a number from 0 to 2 like 0\.3, got '2\.1'/],
    [['--compare', 'medley', '--prediction-error', 'some'], /--prediction-error: expected a number/],
    [['--prefill-error', '-0.03'], /--prefill-error: expected a number from 0 to 2 like 0\.03, got '-0\.03'/],
    [['--compare', 'medley', '--prefill-error', 'nan'], /--prefill-error: expected a number/],
    [['--seeds', '1..2'], /--seeds requires --compare/],
  ]) {
    const { status, out, err } = await medley('simulate', scenario, ...args);
    assert.equal(status, 2, args.join(' '));
    assert.match(err, message);
    assert.equal(out, '');
  }
});

test('the scenario that policies are compared on', { skip: fs.existsSync(azure) ? false : `no ${azure}` }, async () => {
  const report = await simulate(path.join(root, 'scenarios/mixed_fleet.yaml'), '--trace', azure);
  assert.equal(report.requests, 58098);
  // 893.9 s of arrivals, then what is left of them.
  assert.ok(report.simulated_s > 893 && report.simulated_s < 1300, report.simulated_s);
  // A fifth of them, less those that fit no 4k: 8.3 %.
  assert.ok(Math.abs(report.classes.guaranteed.requests / 58098 - 0.2 * 0.917) < 0.005);
});
