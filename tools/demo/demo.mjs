// The demo: starts `medley serve` over scenarios/demo-fleet.yaml, drives it for about half a minute with the real openai
// client, replays the very same arrivals through `medley simulate`, and says what happened. Ends by itself.
import { spawn, execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import OpenAI from '../npm/node_modules/openai/index.mjs';

const medley = process.env.MEDLEY ?? 'build/release/medley';
const fleet = 'scenarios/demo-fleet.yaml';
const folder = 'build/demo';
const seconds = Number(process.env.DEMO_SECONDS ?? 28);
// Two cores carry this rate with room to spare, so that neither client nor relay is what gets measured.
const ratePerSecond = 4;

mkdirSync(folder, { recursive: true });

// --- a seeded workload ------------------------------------------------------------------------------------------------

let state = 20261124;
function uniform() {  // mulberry32
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
const logNormal = (median, sigma, max) =>
  Math.max(1, Math.min(max, Math.round(median * Math.exp(sigma * normal()))));
function pick(weights) {
  let left = uniform();
  for (const [name, weight] of Object.entries(weights)) {
    if ((left -= weight) < 0) return name;
  }
  return Object.keys(weights)[0];
}

const tiers = { guaranteed: 'priority', standard: 'default', flex: 'flex', batch: undefined };
const questions = ['What is a lantern?', 'Hello!', 'Who are you?', 'What is a river?', 'Tell me a story.'];
function makeRequest() {
  const cls = pick({ guaranteed: 0.25, standard: 0.35, flex: 0.25, batch: 0.15 });
  const label = pick({ public: 0.6, restricted: 0.4 });
  // A few applications name the rented model outright; with the label `restricted` that must be refused.
  const model = cls !== 'batch' && uniform() < 0.12 ? 'llama-3.3-70b' : 'chat';
  const question = questions[Math.floor(uniform() * questions.length)];
  const words = cls === 'batch' ? 10 : logNormal(250, 0.9, 1200);
  const content = `${question} ${'Consider the following notes with care. '.repeat(Math.ceil(words / 10))}`;
  return { cls, label, model, content: cls === 'batch' ? question : content, maxTokens: logNormal(60, 0.6, 220) };
}

// --- serve ------------------------------------------------------------------------------------------------------------

async function startServer() {
  const server = spawn(medley, ['serve', '-c', fleet, '--listen', '127.0.0.1:0', '--decisions', `${folder}/serve.jsonl`],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await new Promise((resolve, reject) => {
    let text = '';
    server.stdout.on('data', (data) => {
      text += data;
      const found = /ready on (\S+)/.exec(text);
      if (found) resolve(found[1]);
    });
    server.once('exit', (code) => reject(new Error(`medley serve ended with status ${code}`)));
  });
  return { server, url };
}

async function ask(client, request, startedAt) {
  const sentAt = performance.now();
  const record = { ...request, arrivedS: (sentAt - startedAt) / 1000 };
  const headers = { 'medley-label': request.label };
  if (request.cls === 'batch') headers['medley-class'] = 'batch';
  try {
    const { data: stream, response } = await client.chat.completions.create({
      model: request.model, messages: [{ role: 'user', content: request.content }], max_tokens: request.maxTokens,
      service_tier: tiers[request.cls], stream: true, stream_options: { include_usage: true },
    }, { headers }).withResponse();
    record.id = response.headers.get('medley-request-id');
    let first, last, text = '';
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta?.content) {
        last = performance.now();
        first ??= last;
        text += chunk.choices[0].delta.content;
      }
      if (chunk.usage) record.usage = chunk.usage;
      if (chunk.medley) record.medley = chunk.medley;
    }
    record.text = text;
    record.ttft = (first - sentAt) / 1000;
    record.e2e = (performance.now() - sentAt) / 1000;
    const tokens = record.usage.completion_tokens;
    if (tokens > 1) record.tpot = (last - first) / 1000 / (tokens - 1);
  } catch (error) {
    record.error = error.message;
    record.status = error.status;
    record.code = error.code;
    record.id = error.headers?.get?.('medley-request-id') ?? error.requestID;
  }
  return record;
}

async function drive(url) {
  const client = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 });
  const startedAt = performance.now();
  const running = [];
  let at = 0;
  while ((at += -Math.log(1 - uniform()) / ratePerSecond) < seconds) {
    const wait = at * 1000 - (performance.now() - startedAt);
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    running.push(ask(client, makeRequest(), startedAt));
    if (process.stderr.isTTY) process.stderr.write(`\r${running.length} requests sent, ${at.toFixed(0)} of ${seconds} s`);
  }
  const records = await Promise.all(running);
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  return records;
}

// --- simulate ---------------------------------------------------------------------------------------------------------

function simulate(records) {
  const rows = ['arrived_s,prompt_tokens,output_tokens,class,label,model'];
  for (const record of records) {
    const prompt = record.usage?.prompt_tokens ?? Math.ceil(record.content.length / 4) + 4;
    const output = record.usage?.completion_tokens ?? record.maxTokens;
    rows.push([record.arrivedS.toFixed(9), prompt, output, record.cls, record.label, record.model].join(','));
  }
  writeFileSync(`${folder}/arrivals.csv`, rows.join('\n') + '\n');
  writeFileSync(`${folder}/scenario.yaml`,
    `name: the demo's arrivals\nfleet: ../../${fleet}\ntrace: {path: arrivals.csv, format: medley}\n`);
  const json = execFileSync(medley, ['simulate', `${folder}/scenario.yaml`, '--output', 'json',
    '--requests-csv', `${folder}/simulated.csv`, '--decisions', `${folder}/simulate.jsonl`]);
  const [head, ...lines] = readFileSync(`${folder}/simulated.csv`, 'utf8').trim().split('\n').map((l) => l.split(','));
  const simulated = lines.map((cells) => Object.fromEntries(head.map((name, i) => [name, cells[i]])));
  return { report: JSON.parse(json), simulated };
}

// --- tables -----------------------------------------------------------------------------------------------------------

function table(titles, rows) {
  const left = new Set(['class', 'pool', 'what', 'zone', 'device']);
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => String(row[i]).length)));
  const line = (cells) => cells.map((cell, i) =>
    left.has(titles[i]) ? String(cell).padEnd(widths[i]) : String(cell).padStart(widths[i])).join('  ').trimEnd();
  return [line(titles), widths.map((w) => '-'.repeat(w)).join('  '), ...rows.map(line)].join('\n');
}
const median = (values) => {
  const sorted = values.filter((v) => Number.isFinite(v)).sort((a, b) => a - b);
  return sorted.length === 0 ? NaN : sorted[Math.floor((sorted.length - 1) / 2)];
};
const ms = (s) => (Number.isFinite(s) ? (s * 1000 < 100 ? (s * 1000).toFixed(1) : (s * 1000).toFixed(0)) : '-');
const figure = (v) => (Number.isFinite(v) && v > 0 ? v.toPrecision(3) : '-');
const percent = (part, whole) => (whole > 0 ? `${(100 * part / whole).toFixed(0)} %` : '-');

// The classes' targets of scenarios/demo-fleet.yaml, as a client would hold the service to them.
const targets = { guaranteed: { ttft: 0.5, tpot: 0.008 }, standard: { ttft: 1, tpot: 0.05 },
  flex: { ttft: 10, tpot: 0.1 }, batch: { deadline: 300 } };
const kept = (cls, { ttft, tpot, e2e }) => Number.isFinite(ttft) && ttft <= (targets[cls].ttft ?? Infinity) &&
  !(tpot > (targets[cls].tpot ?? Infinity)) && e2e <= (targets[cls].deadline ?? Infinity);

function tell(records, { report, simulated }) {
  const served = records.filter((record) => record.medley);
  const simulatedOf = (row) => {
    const s = simulated[row];
    if (!s.finished_s) return null;
    const ttft = s.first_token_s - s.arrived_s;
    const tpot = s.output_tokens > 1 ? (s.finished_s - s.first_token_s) / (s.output_tokens - 1) : NaN;
    return { ttft, tpot, e2e: s.finished_s - s.arrived_s };
  };
  records.forEach((record, row) => { record.sim = simulatedOf(row); record.simPool = simulated[row].pool; });
  const what = Object.fromEntries(served.map((r) => [r.medley.pool, `${r.medley.engine}, ${r.medley.device}`]));

  console.log('\nWhere each class went, and the latencies: predicted at the decision, simulated, observed by the client\n' +
    '(medians, ms; sim is over the requests that the simulator sent to the same pool)\n');
  const rows = [];
  for (const cls of Object.keys(targets)) {
    for (const pool of report.pools.map((p) => p.name)) {
      const here = served.filter((r) => r.cls === cls && r.medley.pool === pool);
      if (here.length === 0) continue;
      const sims = records.filter((r) => r.cls === cls && r.simPool === pool && r.sim);
      rows.push([cls, pool, what[pool], here.length, ms(median(here.map((r) => r.medley.predicted?.ttft_s ?? NaN))),
        ms(median(sims.map((r) => r.sim.ttft))), ms(median(here.map((r) => r.ttft))),
        ms(median(here.map((r) => r.medley.predicted?.tpot_s ?? NaN))), ms(median(sims.map((r) => r.sim.tpot))),
        ms(median(here.map((r) => r.tpot)))]);
    }
  }
  console.log(table(['class', 'pool', 'what', 'n', 'TTFT pred', 'sim', 'obs', 'TPOT pred', 'sim', 'obs'], rows));

  console.log('\nPromises kept (every target of the class, as the client saw it; a refusal for saturation misses, one by law ' +
    'is counted apart)\n');
  const classRows = Object.keys(targets).map((cls) => {
    const all = records.filter((r) => r.cls === cls);
    const lawful = all.filter((r) => r.code !== 'no_lawful_pool');
    const good = lawful.filter((r) => r.medley && kept(cls, r)).length;
    const simGood = lawful.filter((r) => r.sim && kept(cls, r.sim)).length;
    return [cls, lawful.length, percent(good, lawful.length), percent(simGood, lawful.length),
      lawful.filter((r) => r.error).length, all.length - lawful.length];
  });
  console.log(table(['class', 'requests', 'observed', 'simulated', 'refused or failed', 'egress refused'], classRows));

  console.log('\nMoney and energy (the modelled share of each request; idle hardware is in the simulator\'s report)\n');
  const poolRows = report.pools.map((pool) => {
    const here = served.filter((r) => r.medley.pool === pool.name);
    const tokens = here.reduce((sum, r) => sum + r.usage.completion_tokens, 0);
    const joules = here.reduce((sum, r) => sum + (r.medley.joules ?? NaN), 0);
    const cost = here.reduce((sum, r) => sum + (r.medley.cost ?? NaN), 0);
    return [pool.name, what[pool.name] ?? '-', pool.zone, here.length, tokens, figure(cost), figure(1000 * cost / tokens),
      figure(1000 * joules / tokens)];
  });
  console.log(table(['pool', 'what', 'zone', 'n', 'tokens', 'EUR', 'EUR/1k tokens', 'J/1k tokens'], poolRows));
  console.log('"-" is unknown or nothing: the energy of this machine is not measured, that of a rented service is not told.');

  const same = records.filter((r) => (r.medley?.pool ?? '') === (r.simPool ?? '')).length;
  console.log(`\nOne core: the simulator sent ${same} of ${records.length} requests (${percent(same, records.length)}) to the ` +
    'pool that serve had chosen\nin real time; on equal clocks all are equal (tests/one_core). It guesses the speed of `here`, ' +
    'which serve measures at start.');

  const refused = records.filter((r) => r.code === 'no_lawful_pool');
  const left = served.filter((r) => r.label === 'restricted' && r.medley.zone !== 'eu-de-1').length;
  console.log(`\nEgress: ${refused.length} requests labelled restricted named a model that only the rented pool in us-east ` +
    `serves and were refused;\n${left} restricted requests left the premises.`);
  if (refused[0]) console.log(`  ${refused[0].id}: ${refused[0].error}`);

  const real = served.find((r) => r.medley.engine === 'real');
  if (real) {
    console.log(`\nA real answer, from the built-in model on this machine (${real.id}):\n  > ${real.content}\n  ` +
      real.text.trim().replace(/\s+/g, ' '));
  }
  const shown = [served.find((r) => r.cls === 'guaranteed' && r.label === 'restricted'), refused[0]].filter(Boolean);
  for (const record of shown) {
    console.log(`\n$ ${medley} explain ${record.id} --decisions ${folder}/serve.jsonl`);
    console.log(execFileSync(medley, ['explain', record.id, '--decisions', `${folder}/serve.jsonl`]).toString().trimEnd());
  }
}

const { server, url } = await startServer();
let records;
try {
  console.log(`\ndriving ${url} for ${seconds} s with the openai client: four classes, two labels, ${ratePerSecond} requests a second`);
  records = await drive(url);
} finally {
  server.removeAllListeners('exit');
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  const status = await ended;
  if (status !== 0) throw new Error(`medley serve ended with status ${status}`);
}
writeFileSync(`${folder}/observed.json`, JSON.stringify(records, null, 1));
tell(records, simulate(records));
console.log(`\nReal: the pool \`here\` and every byte on the wire. Emulated: all other pools; their devices are not in this machine,
their times come from step models (docs/step-models.md) and their text is a filler.
Files of this run: ${folder}/. The same fleet by hand:

  ${medley} serve -c ${fleet}
  curl http://127.0.0.1:8080/v1/chat/completions -d '{"model":"builtin","messages":[{"role":"user","content":"Hello"}]}'`);

// The demo is also a check: it fails where it did not do what it tells of.
const engines = new Set(records.filter((r) => r.medley).map((r) => r.medley.engine));
const left = records.filter((r) => r.label === 'restricted' && r.medley && r.medley.zone !== 'eu-de-1');
const complaints = [
  engines.has('real') || 'the real pool answered nothing',
  engines.has('emulated') || 'no emulated pool answered',
  left.length === 0 || `${left.length} restricted requests left the premises`,
  records.some((r) => r.code === 'no_lawful_pool') || 'no egress was refused',
].filter((complaint) => complaint !== true);
for (const complaint of complaints) console.error(`demo: ${complaint}`);
if (complaints.length > 0) process.exitCode = 1;
