// A crowded fleet with faults through `medley simulate`: every figure of the report from its rows, and the exit codes.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { binary, folder, medley, root, run } from './medley.mjs';

const workload = `
name: mixed afternoon
fleet: ${path.join(root, 'scenarios/fleet-mixed.yaml')}
workload: {requests: 2000, rate_per_s: 400, prompt_tokens: {median: 900, sigma: 1, max: 8000},
           output_tokens: {median: 150, sigma: 0.7, max: 2000}}
mix: {classes: {guaranteed: 0.2, standard: 0.45, flex: 0.2, batch: 0.15}, labels: {public: 0.6, internal: 0.4}, model: chat}
faults:
  - {replica: chat-h100/1, at_s: 4, for_s: 2m}
  - {replica: chat-b200, at_s: 2, for_s: 1m, slowdown: 3}
seed: 7
`;

async function report_of(...args) {
  const { status, out, err } = await medley('simulate', ...args, '-o', 'json');
  assert.equal(status, 0, err);
  return JSON.parse(out);
}

/** The rows of a CSV without quotes, as objects of texts. */
function rows_of(file) {
  const [head, ...lines] = fs.readFileSync(file, 'utf8').trimEnd().split('\n');
  const names = head.split(',');
  return lines.map((line) => {
    const cells = line.split(',');
    assert.equal(cells.length, names.length, line);
    return Object.fromEntries(names.map((name, i) => [name, cells[i]]));
  });
}

const close = (found, wanted, what) =>
  assert.ok(Math.abs(found - wanted) <= 1e-6 * Math.max(1, Math.abs(wanted)), `${what}: rows ${found}, report ${wanted}`);

function compare(rows, figures, what) {
  const done = rows.filter((row) => row.outcome === 'completed');
  const sum = (list, column) => list.reduce((all, row) => all + Number(row[column]), 0);
  assert.equal(rows.length, figures.requests, `${what}.requests`);
  for (const outcome of ['completed', 'rejected', 'failed', 'unfinished'])
    assert.equal(rows.filter((row) => row.outcome === outcome).length, figures[outcome], `${what}.${outcome}`);
  assert.equal(sum(rows, 'kept'), figures.kept, `${what}.kept`);
  close(sum(rows, 'kept') / rows.length, figures.attainment, `${what}.attainment`);
  close(sum(done, 'joules'), figures.request_joules ?? figures.joules, `${what}.joules`);
  close(sum(done, 'money'), figures.request_money ?? figures.money, `${what}.money`);
  for (const [key, until] of [['ttft_s', 'first_token_s'], ['e2e_s', 'finished_s']]) {
    const times = done.map((row) => row[until] - row.arrived_s);
    if (times.length === 0) continue;
    close(times.reduce((a, b) => a + b, 0) / times.length, figures[key].mean, `${what}.${key}.mean`);
    close(Math.max(...times), figures[key].max, `${what}.${key}.max`);
  }
  if (figures.token_windows) {
    const windows = (...outcomes) => rows.filter((row) => outcomes.includes(row.window)).length;
    assert.equal(windows('kept'), figures.token_windows.kept, `${what}.token_windows.kept`);
    assert.equal(windows('broken', 'lost'), figures.token_windows.broken, `${what}.token_windows.broken`);
    assert.equal(windows('kept', 'broken', 'lost'), figures.token_windows.promised, `${what}.token_windows.promised`);
  }
  return { done, sum };
}

test('twice the same digest, report and rows, byte for byte; the rows add up to the report', async (t) => {
  const files = folder(t);
  const scenario = files.write('scenario.yaml', workload);
  const first = await report_of(scenario, '--requests-csv', files.file('1.csv'), '--decisions', files.file('1.jsonl'));
  const again = await report_of(scenario, '--requests-csv', files.file('2.csv'), '--decisions', files.file('2.jsonl'));
  assert.match(first.decision_digest, /^[0-9a-f]{16}$/);
  assert.deepEqual(again, first);
  for (const kind of ['csv', 'jsonl'])
    assert.ok(fs.readFileSync(files.file(`1.${kind}`)).equals(fs.readFileSync(files.file(`2.${kind}`))), kind);
  assert.equal((await report_of(scenario)).decision_digest, first.decision_digest, 'a log changes no decision');
  const other = files.write('other.yaml', workload.replace('seed: 7', 'seed: 8'));
  assert.notEqual((await report_of(other)).decision_digest, first.decision_digest);

  const rows = rows_of(files.file('1.csv'));
  assert.equal(first.requests, 2000);
  assert.ok(first.rejected > 0 && first.failed > 0 && first.kept < first.completed, 'crowded, or little is compared');
  const { done, sum } = compare(rows, first, 'report');
  assert.equal(sum(done, 'prompt_tokens'), first.prompt_tokens);
  assert.equal(sum(done, 'output_tokens'), first.output_tokens);
  assert.deepEqual(Object.keys(first.classes).sort(), ['batch', 'flex', 'guaranteed', 'standard']);
  for (const [name, figures] of Object.entries(first.classes))
    compare(rows.filter((row) => row.class === name), figures, name);
  for (const pool of first.pools) {
    const here = done.filter((row) => row.pool === pool.name);
    assert.equal(here.length, pool.requests, `${pool.name}.requests`);
    assert.equal(sum(here, 'prompt_tokens'), pool.prompt_tokens, `${pool.name}.prompt_tokens`);
    assert.equal(sum(here, 'output_tokens'), pool.output_tokens, `${pool.name}.output_tokens`);
  }
  // Where the label forbids it, nothing went.
  assert.equal(rows.filter((row) => row.label === 'internal' && row.pool === 'burst').length, 0);
  t.diagnostic(`${first.completed} completed, ${first.kept} kept, ${first.rejected} rejected, ${first.failed} failed, digest ${first.decision_digest}`);
});

test('a page that needs nothing else, the same each time, and no other decision for it', async (t) => {
  const files = folder(t);
  const scenario = files.write('scenario.yaml', workload);
  const plain = await report_of(scenario);
  assert.deepEqual(await report_of(scenario, '--report', files.file('1.html')), plain);
  // The same from records that were kept for the log.
  await report_of(scenario, '--report', files.file('2.html'), '--decisions', files.file('2.jsonl'));
  const page = fs.readFileSync(files.file('1.html'), 'utf8');
  assert.equal(fs.readFileSync(files.file('2.html'), 'utf8'), page);
  assert.doesNotMatch(page, /<script|https?:|src=|nan|inf[^e]/i);
  assert.match(page, /Every device in this report is simulated/);
  assert.ok(page.includes(`--report report.html`) && page.includes(plain.decision_digest));
  assert.ok(page.length < 500_000, `${page.length} bytes`);
});

test('a figure that is missed ends with 6, one that the report has not with 2', async (t) => {
  const files = folder(t);
  const small = workload.replace('requests: 2000', 'requests: 50').replace(/faults:[^]*seed/, 'seed');
  const held = await medley('simulate', files.write('a.yaml', `${small}expected: {requests: 50}\n`));
  assert.equal(held.status, 0, held.err);
  const missed = await medley('simulate', files.write('b.yaml', `${small}expected: {requests: 51}\n`));
  assert.equal(missed.status, 6);
  assert.match(missed.err, /expected\.requests is 51, came out 50/);
  assert.ok(missed.out.length > 0, 'the report is printed all the same');
  const below = await medley('simulate', files.write('d.yaml', `${small}expected: {kept: {at_least: 51}}\n`));
  assert.equal(below.status, 6);
  assert.match(below.err, /expected\.kept is at least 51, came out \d+/);
  const unknown = await medley('simulate', files.write('c.yaml', `${small}expected: {requestz: 50}\n`));
  assert.equal(unknown.status, 2);
});

test('a trace of any format takes the place of a generated workload', async (t) => {
  const files = folder(t);
  const scenario = files.write('a.yaml', workload.replace(/faults:[^]*seed/, 'seed'));
  const trace = files.write('t.csv', 'arrived_at,input_tokens,output_tokens\n0.5,100,10\n1.5,200,20\n');
  const run = await medley('simulate', scenario, '--trace', trace, '-o', 'json');
  assert.equal(run.status, 0, run.err);
  assert.equal(JSON.parse(run.out).prompt_tokens, 300);
});

test('a file that cannot be opened ends with 2, a disk that is full with 1', async (t) => {
  const files = folder(t);
  const small = workload.replace('requests: 2000', 'requests: 50').replace(/faults:[^]*seed/, 'seed');
  const scenario = files.write('scenario.yaml', small);
  for (const option of ['--requests-csv', '--decisions', '--report']) {
    const nowhere = await medley('simulate', scenario, option, files.file('nowhere/file'));
    assert.equal(nowhere.status, 2, nowhere.err);
    assert.match(nowhere.err, /cannot write .*nowhere\/file': No such file/);
    const full = await medley('simulate', scenario, option, '/dev/full');
    assert.equal(full.status, 1, full.err);
    assert.match(full.err, /'\/dev\/full' is incomplete: No space left/);
  }
  for (const verb of [`simulate ${scenario}`, `simulate ${scenario} -o json`, 'catalog models', 'catalog models -o json']) {
    const full = await run('sh', ['-c', `"$0" ${verb} >/dev/full`, binary]);
    assert.equal(full.status, 1, verb);
    assert.match(full.err, /^medley: standard output is incomplete: No space left/m, verb);
  }
});

// Sanitizers need more room than this test leaves them.
test('a run that needs more memory than there is ends with 1', { skip: /asan|tsan/.test(binary) }, async (t) => {
  const scenario = folder(t).write('large.yaml', workload.replace('requests: 2000', 'requests: 100000000'));
  const { status, err } = await run('sh', ['-c', `ulimit -v 2000000; exec "$0" simulate ${scenario}`, binary]);
  assert.equal(err, 'medley: out of memory\n');
  assert.equal(status, 1);
});

test('a torn line of a trace, with file and line', async (t) => {
  const files = folder(t);
  const fleet = path.join(root, 'scenarios/fleet-mixed.yaml');
  const scenario = (file) => files.write('scenario.yaml', `fleet: ${fleet}\ntrace: {path: ${file}, format: azure}\n`);
  const head = 'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n';
  for (const torn of ['2023-11-16 18:15:50.9951690,39', '2023-11-16 18:15:50.9951690,39x,10\n', '2023-11-16 18:1', 'x,1,2\n']) {
    const { status, err, out } = await medley('simulate', scenario(files.write('torn.csv', head + torn)));
    assert.equal(status, 2, err);
    assert.match(err, /torn\.csv:3/);
    assert.equal(out, '');
  }
  const whole = await medley('simulate', scenario(files.write('whole.csv', head)));
  assert.equal(whole.status, 0, whole.err);
});
