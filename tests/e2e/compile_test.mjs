// `medley compile` and `medley perf schedule`: figures that add up, the same bytes twice, and clear refusals.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { folder, medley } from './medley.mjs';

test('a schedule adds up and is the same twice', async (t) => {
  const files = folder(t);
  const line = ['compile', 'llama-3.1-8b', '--target', 'groqchip1', '--context', '2048', '--streams', '2', '-o', 'json'];
  const first = await medley(...line, '--svg', files.file('a.svg'));
  assert.equal(first.status, 0, first.err);
  const second = await medley(...line, '--svg', files.file('b.svg'));
  assert.equal(first.out, second.out);
  assert.equal(fs.readFileSync(files.file('a.svg'), 'utf8'), fs.readFileSync(files.file('b.svg'), 'utf8'));
  const report = JSON.parse(first.out);
  assert.ok(report.certificate.valid);
  assert.equal(report.chips, report.stages * report.group_chips);
  const sum = Object.entries(report.sram_bytes).filter(([use]) => use !== 'all').reduce((all, [, bytes]) => all + bytes, 0);
  assert.ok(Math.abs(sum / report.sram_bytes.all - 1) < 1e-9);
  for (const s of report.segments) {
    assert.equal(s.matrix_cycles + s.link_cycles + s.vector_cycles + s.switch_cycles + s.latency_cycles, s.cycles, s.name);
  }
  assert.equal(report.segments.reduce((all, s) => all + s.cycles * s.runs, 0), report.token_cycles);
  assert.ok(Math.abs(report.joules_per_token - (report.watts * report.fleet_token_window_s) / report.streams) < 1e-9);
  assert.ok(report.fleet_token_window_s >= report.fleet_token_s);
});

test('joules of a token are those of perf for the same schedule', async () => {
  const { rows } = JSON.parse((await medley('perf', 'show', 'llama-3.1-8b', 'groq_lpu_v1', '--precision', 'int8', '-o', 'json')).out);
  for (const streams of [1, 8]) {
    const row = rows.find((row) => row.context_tokens === 4096 && row.batch === streams);
    const line = ['compile', 'llama-3.1-8b', '--target', 'groqchip1', '--context', '4096', '--streams', `${streams}`];
    const compiled = JSON.parse((await medley(...line, '-o', 'json')).out);
    assert.equal(compiled.chips, row.chips);
    assert.ok(Math.abs(compiled.joules_per_token / row.joules_per_token - 1) < 1e-9, `${compiled.joules_per_token} ${row.joules_per_token}`);
    assert.ok(Math.abs(compiled.fleet_token_window_s / row.tpot_s - 1) < 1e-9);
  }
});

test('a fleet that names device and model is timed by its compiled schedule', async (t) => {
  const files = folder(t);
  const compiled = JSON.parse((await medley('compile', 'llama-3.1-8b', '--target', 'groqchip1', '-o', 'json')).out);
  const pools = 'pools: [{name: voice, device: groq_lpu_v1, model: llama-3.1-8b, precision: int8}]';
  const scenario = files.write('s.yaml', `${pools}
workload: {requests: 20, rate_per_s: 2, prompt_tokens: 100, output_tokens: 50}
mix: {model: llama-3.1-8b}
`);
  const run = await medley('simulate', scenario, '-o', 'json');
  assert.equal(run.status, 0, run.err);
  const report = JSON.parse(run.out);
  assert.ok(compiled.fleet_token_s > compiled.token_s);
  assert.ok(Math.abs(report.tpot_s.p50 / compiled.fleet_token_s - 1) < 1e-6, `${report.tpot_s.p50} ${compiled.fleet_token_s}`);
  assert.match(report.pools[0].token_window, /compiled for groqchip1 on 72 chips, .* by published speeds alone 1339 us/);
  assert.match((await medley('simulate', scenario)).out, /^voice: token window 1307 us: 206 us compiled for groqchip1/m);
});

test("a processor's schedule is drawn by operation and time", async (t) => {
  const files = folder(t);
  const run = await medley('compile', 'builtin', '--target', 'cpu', '--context', '64', '--svg', files.file('cpu.svg'));
  assert.equal(run.status, 0, run.err);
  const picture = fs.readFileSync(files.file('cpu.svg'), 'utf8');
  for (const what of ['layers', 'computes', 'attend', 'gate, up', 'one token: ', 'choose'])
    assert.ok(picture.includes(what), what);
  assert.match(picture, /layer \d+ of \d+: [\d.]+ µs/);
});

test('chips that find no use are told', async () => {
  const line = ['compile', 'llama-3.2-1b', '--target', 'groqchip1', '--chips', '1000'];
  const report = JSON.parse((await medley(...line, '-o', 'json')).out);
  assert.ok(report.chips_without_use > 0);
  assert.equal(report.chips + report.chips_without_use, 1000);
  const { out } = await medley(...line);
  assert.match(out, new RegExp(`${report.chips_without_use} of 1000 find no use`));
  for (const line of out.split('\n')) assert.ok(line.length <= 80, line);
});

test('what cannot be is refused', async (t) => {
  const files = folder(t);
  const chip = fs.readFileSync('catalog/targets/example_chip.yaml', 'utf8');
  const groq = fs.readFileSync('catalog/targets/groqchip1.yaml', 'utf8');
  const cases = [
    [['llama-3.1-8b', '--target', 'groqchip2'], 4, /no target 'groqchip2'.*did you mean 'groqchip1'/],
    [['lama-3.1-8b', '--target', 'groqchip1'], 4, /llama-3\.1-8b/],
    [['llama-3.1-8b', '--target', 'groqchip1', '--streams', '0'], 2, /no streams/],
    [['llama-3.1-8b', '--target', 'groqchip1', '--chips', '8', '--group', '8'], 2, /needs \d+ chips of groqchip1 in groups of 8, not 8/],
    [['llama-3.1-8b', '--target', 'groqchip1', '--context', '16000000'], 2, /shorter context/],
    [['llama-3.1-8b', '--target', 'groqchip1', '--precision', 'fp8'], 2, /holds no fp8 weights; it has int8, fp16/],
    [['llama-3.1-8b', '--target', 'groqchip1', '--prompt', '5000', '--context', '4096'], 2,
      /a prompt of 5000 tokens is longer than the context of 4096/],
    [['llama-3.1-8b', '--target', 'groqchip1', '--group', '1024'], 2, /a group of 1024 chips: at most 64/],
    [['llama-3.1-8b', '--target', files.write('named.yaml', groq.replace('groq_lpu_v1', 'groq_lpu_v11'))], 2,
      /named\.yaml:5:14: accelerator: .*did you mean 'groq_lpu_v1'/],
    [['deepseek-r1', '--target', 'groqchip1'], 2, /one latent for all heads/],
    [['llama-3.1-8b', '--target', 'groqchip1', '--measure'], 2, /--measure is for target cpu/],
    [['llama-3.1-8b', '--target', 'cpu'], 2, /llama-3\.1-8b: target cpu runs the weights, so it needs a GGUF file/],
    [['llama-3.1-8b', '--target', files.write('c.yaml', chip.replace('columns: {value: 64', 'columns: {value: 63'))], 2,
      /c\.yaml:19:\d+: matrix\.columns: expected as many as lanes, 64/],
  ];
  for (const [line, status, message] of cases) {
    const ended = await medley('compile', ...line);
    assert.equal(ended.status, status, `${line.join(' ')}: ${ended.err}`);
    assert.match(ended.err, message);
    assert.equal(ended.out, '');
  }
});

test('one core of this machine: what each operation takes', async (t) => {
  const files = folder(t);
  const model = files.file('small.gguf');
  const made = await medley('model', 'synth', model, '--layers', '2', '--format', 'Q8_0');
  assert.equal(made.status, 0, made.err);
  const line = ['compile', model, '--target', 'cpu', '--context', '64', '--streams', '3', '-o', 'json'];
  const { status, out, err } = await medley(...line, '--measure');
  assert.equal(status, 0, err);
  const report = JSON.parse(out);
  assert.equal(report.operations.reduce((all, o) => all + o.instructions, 0), report.instructions);
  const sum = report.operations.reduce((all, o) => all + (o.predicted_s ?? 0), 0);
  assert.ok(Math.abs(sum / report.token_s - 1) < 1e-9);
  assert.ok(Math.abs(report.token_window_s / report.token_s - 3) < 1e-9);
  assert.ok(report.measured_token_s > 0 && report.median_error >= 0);
  const again = JSON.parse((await medley(...line)).out);
  assert.equal(again.digest, report.digest);
  assert.equal(again.measured_token_s, null);
  const refused = await medley('compile', model, '--target', 'cpu', '--chips', '4');
  assert.equal(refused.status, 2);
  assert.match(refused.err, /--chips, --group and --precision are for targets of chips/);
});

test('published speeds against schedules', async (t) => {
  const files = folder(t);
  const points = files.write('points.yaml', `
as_of: "2026-11-24"
validation_points:
  lpu_v1:
    - {model: "Llama-2-7B 2k", active_params: 6.74e9, layers: 32, published_tok_s_user: 750}
    - {model: llama-3.1-8b, active_params: 8.03e9, layers: 32, published_tok_s_user: 751}
    - {model: no-such-model, active_params: 1e9, layers: 10, published_tok_s_user: 100}
`);
  const { status, out, err } = await medley('perf', 'schedule', points, '-o', 'json');
  assert.equal(status, 0, err);
  const report = JSON.parse(out);
  assert.equal(report.dense_points, 2);
  for (const p of report.points.slice(0, 2)) {
    assert.ok(Math.abs(p.explained - p.scheduled_s / p.published_s) < 1e-12);
    assert.ok(p.explained > 0.05 && p.explained < 1);
  }
  assert.match(report.points[2].unknown, /no-such-model/);
});
