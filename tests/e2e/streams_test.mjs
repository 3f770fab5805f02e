// Streams through two processes: B relays (openai_http) what A, an emulated fleet, says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, Stream, filler, folder, within } from './medley.mjs';

const upstream_fleet = (pool = '') => `
pools:
  - {name: emu, device: h100_sxm, model: llama-3.1-8b, precision: bf16, engine: emulated${pool}}
`;
const relay_fleet = (upstream) => `
pools:
  - name: relay
    device: h100_sxm
    model: llama-3.1-8b
    engine: {type: openai_http, urls: ["${upstream.url}"]}
`;
const ask = (tokens) => ({
  model: 'llama-3.1-8b',
  messages: [{ role: 'user', content: 'Hello!' }],
  max_tokens: tokens,
  stream_options: { include_usage: true },
});
// A day to answer in: these tests are about bytes, not about admission on a busy machine.
const batch = { 'medley-class': 'batch' };

async function two(t, pool) {
  const files = folder(t);
  const upstream = await Server.start(t, { fleet: files.write('a.yaml', upstream_fleet(pool)) });
  const relay = await Server.start(t, { fleet: files.write('b.yaml', relay_fleet(upstream)) });
  return { upstream, relay };
}

test('100 concurrent streams are relayed with every token once and in order', async (t) => {
  const { upstream, relay } = await two(t);
  const streams = [];
  for (let i = 0; i < 100; ++i) streams.push({ tokens: 40 + i, stream: Stream.open(relay, ask(40 + i), batch) });
  let most = 0;
  // A look under way when the test ends may fail.
  const look = () => relay.metric('medley_in_flight').then((now) => (most = Math.max(most, now)), () => {});
  const watch = setInterval(look, 20);
  t.after(() => clearInterval(watch));
  await within(60_000, 'all streams', Promise.all(streams.map(({ stream }) => stream.done)));
  clearInterval(watch);
  const names = new Set();
  for (const { tokens, stream } of streams) {
    assert.equal(stream.status, 200);
    assert.equal(await stream.done, 'end');
    const text = stream.pieces().join('');
    assert.ok([0, 1].some((variant) => text === filler('h100_sxm', variant, tokens)), `${tokens} tokens: ${text}`);
    assert.equal(stream.events.at(-1), '[DONE]');
    assert.equal(stream.events.filter((e) => e === '[DONE]').length, 1);
    assert.equal(stream.events.filter((e) => e.choices?.[0]?.finish_reason).length, 1);
    assert.equal(stream.events.at(-2).usage.completion_tokens, tokens);
    names.add(stream.headers['x-request-id']);
  }
  assert.equal(names.size, 100, 'every request has a name of its own');
  assert.equal(await upstream.metric('medley_in_flight'), 0);
  assert.equal(await relay.metric('medley_in_flight'), 0);
  t.diagnostic(`at most ${most} at once`);
});

test('a client that leaves frees its slot, here and upstream', async (t) => {
  // One place: whoever comes second waits for the first to go.
  const { upstream, relay } = await two(t, ', batching: {kind: chunked_prefill, max_running: 1}');
  const taken = [];
  for (let round = 0; round < 5; ++round) {
    const first = Stream.open(relay, ask(100_000), batch);
    await within(10_000, 'a first token', first.until_pieces(3));
    assert.equal(await relay.metric('medley_in_flight'), 1);
    first.request.destroy();
    const here = relay.until('free here', async () => (await relay.metric('medley_in_flight')) === 0);
    const there = upstream.until('free upstream', async () => (await upstream.metric('medley_in_flight')) === 0);
    taken.push({ here: await here, there: await there });
    const second = Stream.open(upstream, ask(5), batch);
    assert.equal(await within(10_000, 'the next in its place', second.done), 'end');
    assert.equal(second.pieces().join('').split(' ').length, 6, 'the next one is answered whole');
  }
  assert.equal(await relay.metric('medley_requests_total', 'outcome="cancelled"'), 5);
  assert.equal(await upstream.metric('medley_requests_total', 'outcome="cancelled"'), 5);
  const worst = (which) => Math.max(...taken.map((one) => one[which]));
  t.diagnostic(`free after at most ${worst('here').toFixed(1)} ms here, ${worst('there').toFixed(1)} ms upstream`);
  assert.ok(worst('here') < 200 && worst('there') < 200, JSON.stringify(taken));
});

test('an upstream killed in mid-stream: an error event and no clean end', async (t) => {
  const { upstream, relay } = await two(t);
  const streams = [];
  for (let i = 0; i < 10; ++i) streams.push(Stream.open(relay, ask(100_000), batch));
  const sdk = (async () => {
    let text = '';
    try {
      const answer = await relay.client({ maxRetries: 0 }).chat.completions.create({ ...ask(100_000), stream: true }, { headers: batch });
      for await (const chunk of answer) text += chunk.choices[0]?.delta?.content ?? '';
    } catch (error) {
      return { text, error };
    }
    return { text };
  })();
  await within(20_000, 'tokens', Promise.all(streams.map((stream) => stream.until_pieces(5))));
  process.kill(upstream.pid, 'SIGKILL');
  for (const stream of streams) {
    assert.equal(await within(5_000, 'the end of the stream', stream.done), 'broken');
    const last = stream.events.at(-1);
    assert.ok(last.error, JSON.stringify(last));
    assert.deepEqual(Object.keys(last.error).sort(), ['code', 'message', 'param', 'type']);
    assert.ok(!stream.events.includes('[DONE]'));
    assert.ok(!stream.events.some((e) => e.choices?.[0]?.finish_reason));
    // What came before is the beginning of the answer, each token once.
    const text = stream.pieces().join('');
    assert.ok([0, 1].some((variant) => filler('h100_sxm', variant, text.split(' ').length - 1) === text), text);
  }
  const seen = await within(5_000, 'the end of the client', sdk);
  assert.ok(seen.error, 'the openai client must not take half an answer for a whole one');
  // Nobody is left; the relay still answers, and says that its upstream is away.
  const after = await relay.chat(ask(3), batch);
  assert.equal(after.status, 503, after.text);
  assert.ok(after.json.error.code);
  assert.ok(Number(after.headers.get('retry-after')) >= 1);
  assert.equal(await relay.metric('medley_in_flight'), 0);
  assert.equal((await relay.ask('/livez')).status, 200);
  t.diagnostic(`the client saw: ${seen.error.message}; afterwards: ${after.json.error.code}`);
  assert.deepEqual(await relay.stop(), { status: 0, signal: null });
});
