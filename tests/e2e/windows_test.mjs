// Token windows as a client sees them, from an emulated LPU in real time. How many a busy machine breaks is told, not judged:
//   node tests/e2e/windows_test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, Stream, folder, within } from './medley.mjs';

const fleet = `
pools:
  - {name: lpu, device: groq_lpu_v1, chips: 576, model: llama-3.1-70b, precision: int8, slots: 40, max_context: 4096,
     engine: emulated}
`;
const ask = (words, tokens) => ({
  model: 'llama-3.1-70b',
  messages: [{ role: 'user', content: 'word '.repeat(words) }],
  max_tokens: tokens,
});
const guaranteed = { 'medley-class': 'guaranteed' };

test('a window is promised, judged by every token and counted', async (t) => {
  const server = await Server.start(t, { fleet: folder(t).write('fleet.yaml', fleet) });
  const answers = [];
  const clients = Array.from({ length: 8 }, async (_, client) => {
    for (let i = 0; i < 25; ++i) answers.push(await server.chat(ask(20 + 15 * client, 40 + i), guaranteed));
  });
  await within(120_000, 'all answers', Promise.all(clients));

  assert.ok(answers.every(({ status }) => status === 200));
  // A lane that is later than it should ever be, on a machine that was away for a moment, gets no promises until it is heard of.
  const promised = answers.map(({ json }) => json.medley).filter((medley) => medley.token_window);
  assert.ok(promised.length > answers.length / 2);
  let kept = 0, late_first = 0;
  for (const { token_window: window, observed } of promised) {
    assert.ok(window.promised.ttft_s > 0 && window.promised.ttft_s <= 0.5, 'within the target of the class');
    assert.ok(window.promised.itl_s > 0 && window.promised.itl_s <= 0.008);
    const in_time = observed.ttft_s <= window.promised.ttft_s;
    assert.equal(window.kept, in_time && window.itl_max_s <= window.promised.itl_s, JSON.stringify({ window, observed }));
    kept += window.kept;
    late_first += !in_time;
  }
  assert.equal(await server.metric('medley_token_windows_total', 'outcome="kept"'), kept);
  assert.equal(await server.metric('medley_token_windows_total', 'outcome="broken"'), promised.length - kept);
  const gaps = promised.map(({ token_window }) => token_window.itl_max_s * 1000).sort((a, b) => a - b);
  const at = (share) => gaps[Math.floor(share * (gaps.length - 1))].toFixed(2);
  t.diagnostic(`emulated: ${answers.length} answers, ${promised.length} with a window, ${promised.length - kept} of them broken, ` +
    `${late_first} by the first token; longest gap of an answer p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ` +
    `promised ${(promised[0].token_window.promised.itl_s * 1000).toFixed(2)} ms`);
});

test('a stream says it with its usage', async (t) => {
  const server = await Server.start(t, { fleet: folder(t).write('fleet.yaml', fleet) });
  const stream = Stream.open(server, { ...ask(20, 5), stream_options: { include_usage: true } }, guaranteed);
  await within(10_000, 'the stream', stream.done);
  const { medley } = stream.events.find((event) => event.usage);
  assert.equal(typeof medley.token_window.kept, 'boolean');
  assert.ok(medley.token_window.promised.ttft_s > 0);
});

test('nobody else is promised one, and one who leaves abandons his', async (t) => {
  const server = await Server.start(t, { fleet: folder(t).write('fleet.yaml', fleet) });
  assert.equal((await server.chat(ask(20, 10))).json.medley.token_window, null, 'standard');
  assert.equal((await server.chat(ask(20, 10), { ...guaranteed, 'medley-tpot': '1ms' })).json.medley?.token_window ?? null, null);
  const stream = Stream.open(server, { ...ask(20, 3000), stream_options: { include_usage: true } }, guaranteed);
  await server.until('the stream runs', async () => (await server.metric('medley_in_flight')) === 1);
  stream.request.destroy();
  await server.until('its window is counted', async () => (await server.metric('medley_token_windows_total')) === 1);
});

test('the built-in engine promises its token window to service_tier priority, and counts its beats', async (t) => {
  const server = await Server.start(t, {
    fleet: folder(t).write('fleet.yaml', `
pools:
  - {name: steady, device: this_machine, model: builtin, slots: 4, max_context: 512, engine: {type: static_schedule}}
`),
  });
  const client = server.client({ maxRetries: 0 });
  // Wide targets: how late a busy machine lets tokens go is part of the promise.
  const headers = { 'medley-ttft': '20s', 'medley-tpot': '2s' };
  const say = (tier, tokens) =>
    client.chat.completions.create(
      { model: 'builtin', service_tier: tier, max_tokens: tokens, temperature: 0, messages: [{ role: 'user', content: 'Hello there' }] },
      { headers },
    );
  const answers = [];
  const clients = Array.from({ length: 4 }, async (_, client) => {
    for (let i = 0; i < 10; ++i) answers.push(await say('priority', 20 + 10 * client + i));
  });
  await within(60_000, 'all answers', Promise.all(clients));
  assert.ok(answers.every(({ service_tier }) => service_tier === 'priority'));
  const windows = answers.map(({ medley }) => medley.token_window).filter(Boolean);
  assert.equal(windows.length, answers.length, 'room for all, so a promise for each');
  assert.ok(windows.every(({ promised }) => promised.itl_s >= 0.0015), 'the window and how late it may be let go');
  const kept = windows.filter((window) => window.kept).length;
  assert.equal(await server.metric('medley_token_windows_total', 'outcome="kept"'), kept);
  assert.equal(await server.metric('medley_token_windows_total', 'outcome="broken"'), windows.length - kept);
  assert.ok((await server.metric('medley_token_beats')) > 0);
  assert.equal((await say('default', 5)).medley.token_window, null);
  const gaps = windows.map(({ itl_max_s }) => itl_max_s * 1000).sort((a, b) => a - b);
  t.diagnostic(`static_schedule: ${windows.length} windows, ${kept} kept; longest gap of an answer p50 ` +
    `${gaps[gaps.length >> 1].toFixed(2)} ms, worst ${gaps.at(-1).toFixed(2)} ms, promised ` +
    `${(windows[0].promised.itl_s * 1000).toFixed(2)} ms`);
});
