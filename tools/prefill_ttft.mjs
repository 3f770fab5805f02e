#!/usr/bin/env node
// Time to the first token of a long prompt on engine static_schedule, read by itself and by libllama
// (key `prefill`), on an idle replica and beside three streams:
//
//     tools/prefill_ttft.mjs MODEL.gguf TOKENS [THREADS [ROUNDS]]
//
// TOKENS: of the prompt, at least so many. Each way is asked ROUNDS (15) times, in turn with the other.
import { Server, Stream, folder } from '../tests/e2e/medley.mjs';

import path from 'node:path';

const [named, tokens, threads = 1, rounds = 15] = process.argv.slice(2);
if (!(Number(tokens) >= 2)) {
  console.error('usage: prefill_ttft.mjs MODEL.gguf TOKENS [THREADS [ROUNDS]]');
  process.exit(2);
}
const model = path.resolve(named);
const cleanups = [];
const t = { after: (f) => cleanups.unshift(f) };
const files = folder(t);
const fleet = (prefill) => `
pools:
  - {name: here, device: this_machine, model: ${model}, slots: 4, engine: {type: static_schedule${prefill}}}
`;
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const ms = (s) => (s * 1e3).toFixed(2);

const kPatient = { 'medley-ttft': '60s', 'medley-tpot': '10s' };

let calls = 0;
async function long_prompt(server, words) {
  const prompt = `${(calls += 1)} ${Array.from({ length: words }, (_, i) => ['Tom', 'and', 'the', 'dog', 'went', 'home'][(i * 7) % 6]).join(' ')}`;
  const { json } = await server.ask('/v1/completions', {
    body: { model: server.model, prompt, max_tokens: 2, temperature: 0 },
    headers: kPatient,
  });
  if (json.error) throw new Error(json.error.message);
  return { ...json.medley, tokens: json.usage.prompt_tokens };
}
// Until it is stopped there is always a stream under way.
function keep_streaming(server) {
  let open = null;
  let stopped = false;
  const done = (async () => {
    while (!stopped) {
      open = Stream.open(server, { model: server.model, messages: [{ role: 'user', content: 'Tell me a story.' }], max_tokens: 400, temperature: 1 }, kPatient);
      await open.done;
    }
  })();
  return () => ((stopped = true), open?.request.destroy(), done);
}

try {
  const ways = { 'by itself': '', 'by libllama': `, prefill: {from_tokens: ${tokens}, threads: ${threads}}` };
  const servers = {};
  for (const [way, prefill] of Object.entries(ways)) {
    servers[way] = await Server.start(t, { fleet: files.write(`${calls++}.yaml`, fleet(prefill)) });
    servers[way].model = (await servers[way].ask('/v1/models')).json.data[0].id;
  }
  let words = Math.ceil(tokens / 3);
  while ((await long_prompt(servers['by itself'], words)).tokens < tokens) words = Math.ceil(words * 1.1);
  for (const streams of [0, 3]) {
    const seen = {};
    for (let i = 0; i < rounds; ++i) {
      for (const [way, server] of Object.entries(servers)) {
        const stops = Array.from({ length: streams }, () => keep_streaming(server));
        if (streams > 0) await server.until('streams are there', async () => (await server.metric('medley_in_flight')) >= streams);
        (seen[way] ??= []).push(await long_prompt(server, words));
        await Promise.all(stops.map((stop) => stop()));
        await server.until('it is idle', async () => (await server.metric('medley_in_flight')) === 0);
      }
    }
    for (const [way, answers] of Object.entries(seen)) {
      const observed = answers.map((one) => one.observed.ttft_s);
      console.log(
        `${streams} streams, ${answers[0].tokens} tokens read ${way}: TTFT ${ms(median(observed))} ms ` +
          `(${ms(Math.min(...observed))} to ${ms(Math.max(...observed))}), predicted ${ms(median(answers.map((one) => one.predicted.ttft_s)))} ms; ` +
          `handed over ${answers.filter((one) => one.handed_over).length} of ${answers.length}`,
      );
    }
  }
} finally {
  for (const cleanup of cleanups) await cleanup();
}
