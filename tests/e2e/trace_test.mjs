// `medley trace` from outside: look at a trace, fit a workload, make a trace from it, simulate it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { folder, medley, root } from './medley.mjs';

const base = `
for: 20m
rate_per_s: 4
arrivals: {swings: [{every_s: 30, cv: 0.5}]}
prompt_tokens: {median: 600, sigma: 0.9, max: 8000}
output_tokens: {by_prompt: [{up_to: 500, tokens: 40}, {tokens: {median: 150, sigma: 0.4}}]}
prefix: {common_tokens: 64, turns: [{share: 0.4, part: [[0, 0.3], [1, 0.9]]}], age_s: [[0, 10], [1, 200]]}
`;

async function done(...line) {
  const ended = await medley(...line);
  assert.equal(ended.status, 0, `${line.join(' ')}: ${ended.err}`);
  return ended.out;
}

test('a trace is made, looked at, fitted, and simulated as the workload itself', async (t) => {
  const files = folder(t);
  const workload = files.write('base.yaml', base);
  for (const name of ['1.csv', '2.csv'])
    await done('trace', 'generate', workload, '--out', files.file(name), '--seed', '3');
  assert.ok(fs.readFileSync(files.file('1.csv')).equals(fs.readFileSync(files.file('2.csv'))));
  const info = JSON.parse(await done('trace', 'info', files.file('1.csv'), '-o', 'json',
    '--svg', files.file('1.svg'), '--report', files.file('1.html')));
  assert.equal(info.format, 'medley');
  assert.equal(info.requests, fs.readFileSync(files.file('1.csv'), 'utf8').trim().split('\n').length - 1);
  assert.ok(info.prefix.share_of_prompt_tokens > 0.15);
  for (const name of ['1.svg', '1.html'])
    assert.doesNotMatch(fs.readFileSync(files.file(name), 'utf8'), /<script|src=|\bnan\b/i);
  assert.match(await done('trace', 'info', files.file('1.csv')), /index of dispersion/);

  const fit = JSON.parse(await done('trace', 'fit', files.file('1.csv'), '--out', files.file('fit.yaml'), '-o', 'json'));
  for (const { name, trace, generated } of fit.figures) {
    if (/mean|p50|repeated/.test(name)) assert.ok(Math.abs(generated / trace - 1) < 0.1, `${name}: ${generated} for ${trace}`);
  }
  await done('trace', 'generate', files.file('fit.yaml'), '--for', '5m', '--scale', '2', '--seed', '1', '--out', files.file('g.csv'));
  const digests = [];
  for (const source of ['workload: {from: fit.yaml, for: 5m, scale: 2}', 'trace: {path: g.csv, format: medley}']) {
    const scenario = files.write('s.yaml', `fleet: ${path.join(root, 'scenarios/fleet-mixed.yaml')}\n${source}\nmix: {model: chat}\n`);
    digests.push(JSON.parse(await done('simulate', scenario, '-o', 'json')).decision_digest);
  }
  assert.equal(digests[0], digests[1]);
});

test('what is wrong is named', async (t) => {
  const files = folder(t);
  const trace = files.write('t.csv', 'arrived_at,input_tokens,output_tokens\n2,5,5\n1,5,5\n');
  for (const [line, message] of [
    [['info', files.file('none.csv')], /none\.csv: No such file/],
    [['info', files.file('\x1b[2Jnone.csv')], /\/ \[2Jnone\.csv: No such file/],
    [['info', trace], /t\.csv:3: arrival at 1 s after one at 2 s/],
    [['info', trace, '--format', 'azur'], /unknown format 'azur', did you mean 'azure'/],
    [['info', files.write('x.csv', 'a,b\n1,2\n')], /x\.csv:1: no trace that medley knows/],
    [['info', files.write('e.csv', 'arrived_at,input_tokens,output_tokens\n')], /no requests in it/],
    [['fit', files.write('f.csv', 'arrived_at,input_tokens,output_tokens\n1,5,5\n'), '--out', files.file('f.yaml')], /too few/],
    [['generate', files.write('w.yaml', 'rate_per_s: 1\n'), '--out', files.file('w.csv')], /w\.yaml:1:1/],
    [['generate', files.write('b.yaml', base), '--out', files.file('no/w.csv')], /cannot write/],
    [['generate', files.write('b.yaml', base), '--for', '1e30s', '--out', files.file('w.csv')], /b\.yaml with these options: for: 1e\+30 s; expected/],
    [['generate', files.write('b.yaml', base), '--scale', '1e6', '--out', files.file('w.csv')], /rate_per_s: expected at most a million/],
    [['generate', files.write('b.yaml', base), '--requests', '1000000000', '--out', files.file('w.csv')], /requests: 1000000000 requests; expected/],
    [['generate', files.write('b.yaml', base), '--scale', 'nan', '--out', files.file('w.csv')], /--scale: expected a number, got 'nan'/],
    [['generate', files.write('b.yaml', base), '--for', 'soon', '--out', files.file('w.csv')], /--for: expected a duration/],
  ]) {
    const ended = await medley('trace', ...line);
    assert.equal(ended.status, 2, `${line.join(' ')}: ${ended.err}`);
    assert.match(ended.err, message);
    assert.equal(ended.out, '');
  }
  const full = await medley('trace', 'generate', files.file('b.yaml'), '--out', '/dev/full');
  assert.equal(full.status, 1, full.err);
});
