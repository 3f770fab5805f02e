// `medley perf measure` on a real engine: the curve, the file, and a pool that is timed by it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import { folder, medley, Server } from './medley.mjs';

test('measures the built-in engine and simulates a pool by what it saw', async (t) => {
  const files = folder(t);
  // Patient: beside other work this machine may be slow, and nothing is to be refused for that.
  const fleet = files.write('fleet.yaml', `
classes: {standard: {ttft_s: 60, tpot_s: 10}}
pools: [{name: here, device: this_machine, model: builtin}]
`);
  const { url } = await Server.start(t, { fleet });
  const out = files.file('here.yaml');
  const measured = await medley('perf', 'measure', url, '--rounds', '1', '--max-concurrency', '8', '--max-prompt', '256',
    '--seed', '7', '-o', 'json', '--out', out);
  assert.notEqual(measured.out, '', measured.err);
  const report = JSON.parse(measured.out);
  assert.equal(report.model, 'builtin');
  assert.ok(report.constants.prompt_token_s > 0 && report.constants.step_s > 0, measured.out);
  assert.ok(report.curve.length >= 7, measured.out);
  for (const { ttft_s: ttft } of report.curve) assert.ok(ttft.measured > 0 && ttft.fitted > 0, measured.out);
  assert.ok(report.mixed.ttft_s.measured > 0 && report.mixed.ttft_s.predicted > 0);
  assert.ok(report.most_running >= 1 && report.most_running <= 8);
  if (report.unidentified.length > 0) {  // a disturbed machine: then nothing may be written
    assert.equal(measured.status, 1, measured.err);
    assert.match(measured.err, /is not written: these figures do not tell/);
    return;
  }
  assert.equal(measured.status, 0, measured.err);
  const scenario = files.write('run.yaml', `
pools: [{name: here, device: this_machine, model: builtin, measured: here.yaml}]
workload: {requests: 1, rate_per_s: 1, prompt_tokens: 200, output_tokens: 2}
`);
  const simulated = await medley('simulate', scenario, '-o', 'json');
  assert.equal(simulated.status, 0, simulated.err);
  const k = report.constants;
  const expected = k.step_s + k.chunk_s + 200 * k.prompt_token_s + k.context_token_s * 200 * 100;
  const { ttft_s: ttft } = JSON.parse(simulated.out);
  assert.ok(Math.abs(ttft.mean / expected - 1) < 1e-3, `${ttft.mean} is not ${expected}`);
});

test('says what is wrong with an endpoint', async (t) => {
  const nobody = await medley('perf', 'measure', 'http://127.0.0.1:9/v1');
  assert.equal(nobody.status, 1);
  assert.match(nobody.err, /127\.0\.0\.1:9/);
  const { url } = await Server.start(t);
  const model = await medley('perf', 'measure', url, '--model', 'absent');
  assert.notEqual(model.status, 0);
  assert.match(model.err, /absent/);
  const word = await medley('perf', 'measure', 'nonsense');
  assert.equal(word.status, 2);
  assert.match(word.err, /nonsense/);
});

// An endpoint whose answers come at once, in so many tokens; answers its URL.
async function atOnce(t, tokens) {
  const event = (value) => `data: ${JSON.stringify({ id: 'x', object: 'text_completion', model: 'm', ...value })}\n\n`;
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    const asked = JSON.parse(body);
    const completion_tokens = Math.min(tokens, asked.max_tokens);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(event({ choices: [{ index: 0, text: 'a ', finish_reason: null }] }).repeat(completion_tokens) +
      event({ choices: [{ index: 0, text: '', finish_reason: 'length' }] }) +
      event({ choices: [], usage: { prompt_tokens: asked.prompt.split(' ').length, completion_tokens } }) + 'data: [DONE]\n\n');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => (server.close(), server.closeAllConnections()));
  return `http://127.0.0.1:${server.address().port}/v1`;
}

test('an endpoint that does not tell its constants ends with 1', async (t) => {
  const few = ['--model', 'm', '--rounds', '1', '--max-concurrency', '2', '--max-prompt', '64'];
  const one = await medley('perf', 'measure', await atOnce(t, 1), ...few);
  assert.equal(one.status, 1, one.err);
  assert.match(one.err, /no answer had more than one token/);
  const all = await medley('perf', 'measure', await atOnce(t, 64), ...few);
  assert.equal(all.status, 1, all.err);
  assert.match(all.err, /these figures do not tell|there is no time per token/);
});
