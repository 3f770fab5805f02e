// Beginning and end of the process, its health, and the manual page.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, Stream, binary, folder, medley, run, within } from './medley.mjs';

const fleet = `
pools:
  - {name: emu, device: h100_sxm, model: llama-3.1-8b, precision: bf16}
`;
const body = { model: 'llama-3.1-8b', messages: [{ role: 'user', content: 'Hello!' }] };
const batch = { 'medley-class': 'batch' };

test('an idle server ends at once by SIGTERM, with 0', async (t) => {
  const files = folder(t);
  const server = await Server.start(t, { fleet: files.write('fleet.yaml', fleet) });
  assert.equal((await server.ask('/livez')).text, 'ok\n');
  const ready = await server.ask('/readyz');
  assert.equal(ready.status, 200);
  assert.equal(ready.json.pools[0].name, 'emu');
  const models = await server.client().models.list();
  assert.deepEqual(models.data.map((one) => one.id), ['llama-3.1-8b']);
  assert.deepEqual(await server.stop(), { status: 0, signal: null });
  assert.equal(server.out.split('\n').length, 2, 'one line on standard output');
});

test('SIGTERM lets an answer under way end', async (t) => {
  const files = folder(t);
  const server = await Server.start(t, { fleet: files.write('fleet.yaml', fleet) });
  const stream = Stream.open(server, { ...body, max_tokens: 60 }, batch);
  await within(10_000, 'a token', stream.until_pieces(2));
  const stopped = server.stop();
  assert.equal(await within(10_000, 'the whole answer', stream.done), 'end');
  assert.equal(stream.events.at(-1), '[DONE]');
  assert.deepEqual(await stopped, { status: 0, signal: null });
});

test('a second SIGTERM ends at once, and the client can tell', async (t) => {
  const files = folder(t);
  const server = await Server.start(t, { fleet: files.write('fleet.yaml', fleet) });
  const stream = Stream.open(server, { ...body, max_tokens: 100_000 }, batch);
  await within(10_000, 'a token', stream.until_pieces(2));
  server.child.kill('SIGTERM');
  await server.until('the drain begins', () => /ending/.test(server.err) || new Promise((go) => setTimeout(go, 5)));
  const from = performance.now();
  assert.deepEqual(await server.stop(), { status: 0, signal: null });
  t.diagnostic(`ended after ${(performance.now() - from).toFixed(0)} ms`);
  assert.equal(await stream.done, 'broken');
  assert.ok(!stream.events.includes('[DONE]'));
});

test('a port that is taken: a message and 1', async (t) => {
  const files = folder(t);
  const file = files.write('fleet.yaml', fleet);
  const server = await Server.start(t, { fleet: file });
  const second = await medley('serve', '-c', file, '--listen', `127.0.0.1:${server.port}`);
  assert.equal(second.status, 1, second.err);
  assert.match(second.err, new RegExp(String(server.port)));
});

test('the manual page is roff, also where its reader leaves early', async () => {
  const { status, out } = await run('bash', ['-c', '"$0" man | head -n 5', binary]);
  assert.equal(status, 0);
  assert.match(out, /^\.TH MEDLEY 1/);
  assert.match(out, /^\.SH NAME$/m);
  const whole = await medley('man');
  assert.equal(whole.status, 0);
  for (const verb of ['serve', 'simulate', 'explain', 'catalog']) assert.match(whole.out, new RegExp(`^\\.SS medley ${verb}$`, 'm'));
});
