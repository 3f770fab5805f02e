// Why did it go there? `medley explain`, from the id in an answer's header.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, Stream, folder, medley } from './medley.mjs';

const fleet = `
site: {zone: here}
labels: {public: {zones: any}, internal: {zones: [here]}}
default_label: internal
pools:
  - {name: near, device: h100_sxm, model: llama-3.1-8b, precision: bf16}
  - {name: far, device: b200_sxm, model: llama-3.1-8b, precision: bf16, zone: elsewhere}
`;

test('an id from an answer is explained, with the chosen pool; an unknown one ends with 4', async (t) => {
  const files = folder(t);
  const log = files.file('decisions.jsonl');
  const server = await Server.start(t, { fleet: files.write('fleet.yaml', fleet), args: ['--decisions', log] });
  const body = { model: 'llama-3.1-8b', messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 4 };
  const answers = [];
  for (const label of ['internal', 'public']) {
    const answer = await server.chat(body, { 'medley-label': label, 'medley-class': 'batch' });
    assert.equal(answer.status, 200, answer.text);
    answers.push({ label, id: answer.headers.get('medley-request-id'), pool: answer.json.medley.pool });
    assert.equal(answer.headers.get('x-request-id'), answers.at(-1).id);
  }
  assert.equal(answers[0].pool, 'near');
  const stream = Stream.open(server, body, { 'medley-class': 'batch' });
  assert.equal(await stream.done, 'end');
  const medley_object = stream.events.find((event) => event.medley).medley;
  answers.push({ label: 'internal', id: stream.headers['medley-request-id'], pool: medley_object.pool });
  assert.deepEqual(await server.stop(), { status: 0, signal: null });

  for (const { id, label, pool } of answers) {
    const { status, out, err } = await medley('explain', id, '--decisions', log);
    assert.equal(status, 0, err);
    assert.match(out, new RegExp(`dispatched to ${pool} \\(`));
    assert.match(out, new RegExp(`^ *${pool} \\(.*CHOSEN`, 'm'));
    assert.match(out, new RegExp(`class batch, label ${label}, model llama-3.1-8b`));
    assert.match(out, /what happened: completed/);
    assert.match(out, /^score of +worth +- money +- residents +- later +- toll +(= score|= score +toll if full +price)$/m);
    assert.match(out, /There were no prices at that moment/);
    if (label === 'public') assert.match(out, /^Runner-up: (near|far)/m);
    if (label === 'internal') assert.match(out, /far \(.*the label may not be processed in its zone/);
    const machine = JSON.parse((await medley('explain', id, '--decisions', log, '-o', 'json')).out);
    assert.equal(machine.result.outcome, 'completed');
    assert.equal(machine.result.output_tokens, 4);
    const chosen = machine.decisions.at(-1);
    assert.equal(chosen.candidates.find((one) => one.replica === chosen.replica).pool, pool);
  }
  const unknown = await medley('explain', 'req-0000ffff', '--decisions', log);
  assert.equal(unknown.status, 4, unknown.err);
  assert.match(unknown.err, /no request req-0000ffff/);
  assert.equal((await medley('explain', 'nonsense', '--decisions', log)).status, 2);
  assert.equal((await medley('explain', answers[0].id, '--decisions', files.file('none.jsonl'))).status, 2);
  assert.equal((await medley('explain', answers[0].id, '--decisions', files.write('torn.jsonl', '{"type":"hea'))).status, 2);
});

test('a prompt goes to the replica that has its beginning, and explain says so', async (t) => {
  const caching = `
site: {tariff: 0.2}
labels: {ours: {zones: any}, theirs: {zones: any}}
default_label: ours
pools:
  - {name: twins, device: h100_sxm, model: llama-3.1-8b, precision: bf16, replicas: 2, prefix_caching: true}
`;
  const files = folder(t);
  const log = files.file('decisions.jsonl');
  const server = await Server.start(t, { fleet: files.write('fleet.yaml', caching), args: ['--decisions', log] });
  const rules = (name, bytes) => `${name}: `.repeat(bytes).slice(0, bytes);
  const ask = (text, question, headers) =>
    server.chat(
      {
        model: 'llama-3.1-8b',
        messages: [
          { role: 'system', content: text },
          { role: 'user', content: question },
        ],
        max_tokens: 2,
      },
      headers,
    );
  // The first replica is busy for a second or more with a prompt of 40,000 tokens when the second prompt comes.
  const long = ask(rules('long', 160_000), 'And?', { 'medley-ttft': '60s' });
  await server.until('the long prompt is there', async () => (await server.metric('medley_in_flight')) === 1);
  const primed = await ask(rules('house', 16_000), 'Which floor?', { 'medley-ttft': '300ms' });
  assert.equal(primed.status, 200, primed.text);
  assert.equal((await long).status, 200);
  // Both are idle now.
  const again = await ask(rules('house', 16_000), 'Which door?');
  const other = await ask(rules('garden', 16_000), 'Which floor?');
  const foreign = await ask(rules('house', 16_000), 'Which door?', { 'medley-label': 'theirs' });
  assert.deepEqual(await server.stop(), { status: 0, signal: null });

  const told = async (answer) => {
    assert.equal(answer.status, 200, answer.text);
    const id = answer.headers.get('medley-request-id');
    const machine = JSON.parse((await medley('explain', id, '--decisions', log, '-o', 'json')).out);
    const text = (await medley('explain', id, '--decisions', log)).out;
    const { replica, candidates } = machine.decisions.at(-1);
    return { replica, cached: candidates[0].cached_tokens, text, ttft: answer.json.medley.observed.ttft_s };
  };
  const [first, second, third, fourth] = await Promise.all([primed, again, other, foreign].map(told));
  assert.equal(first.replica, 1);
  assert.equal(first.cached, undefined);
  assert.equal(second.replica, 1);
  assert.equal(second.cached, 3968, 'of 4011 tokens all whole blocks of 64');
  assert.match(second.text, /CHOSEN.* 3968 tokens$/m);
  assert.ok(second.ttft < first.ttft, 'the virtual replica did not compute them again');
  for (const one of [third, fourth]) {
    assert.equal(one.replica, 0);
    assert.equal(one.cached, undefined);
    assert.doesNotMatch(one.text, /cached/);
  }
});

test('explain says what work waits for', async (t) => {
  const files = folder(t);
  const log = files.file('decisions.jsonl');
  const fleet = (value, room) => files.write('waits.yaml', `
site: {tariff: 0.2}
classes: {flex: {ttft_s: 60, tpot_s: none}, batch: {value: ${value}}}
pools:
  - {name: only, device: h100_sxm, model: llama-3.1-8b, precision: bf16, batching: {kind: chunked_prefill, max_running: ${room}}}
trace: {path: rows.csv, format: medley}
`);
  const explained = async (rows, value, room) => {
    files.write('rows.csv', `arrived_s,prompt_tokens,output_tokens,class\n${rows.join('\n')}\n`);
    const { status, err } = await medley('simulate', fleet(value, room), '--decisions', log);
    assert.equal(status, 0, err);
    return Promise.all(rows.map(async (_, i) => (await medley('explain', `${i}`, '--decisions', log)).out));
  };
  const flex = await explained(Array.from({ length: 5 }, () => '1,400,50,flex'), 0.001, 2);
  assert.match(flex[0], /dispatched to only/);
  assert.match(flex[1], /held back in the backlog\. only: no room: sequences or KV cache taken, or kept for dearer work$/m);
  assert.match(flex.at(-1), /waits behind others of its class, label, model and about its length; not weighed itself$/m);
  assert.match(flex.at(-1), /^ *only .* not weighed this time/m);
  // There is room, and nobody would lose by it: it is the money.
  const cheap = await explained(['1,400,500,standard', '1.2,400,50,batch'], 1e-9, 8);
  assert.match(cheap[1], /held back in the backlog\. only: costs more than it offers so far/);
  assert.match(cheap[1], /^Nearest to it came only, where it would cost [0-9.e-]+ more than it was worth/m);
  assert.doesNotMatch(cheap[1], /others would lose/);
});
