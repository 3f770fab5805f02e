// A prompt read by libllama and answered by the static schedule: the same text as either alone.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Server, Stream, folder, medley, root, shared } from './medley.mjs';

const kFrom = 40;
const stories = path.join(shared, 'models/stories260K.gguf');

// Labels choose the pool, since all serve the same name.
const fleet = (model) => `
site: {zone: both}
labels: {both: {zones: [both]}, scheduled: {zones: [scheduled]}, llama: {zones: [llama]}}
default_label: both
pools:
  - {name: both, device: this_machine, model: ${model}, engine: {type: static_schedule, prefill: {from_tokens: ${kFrom}}}}
  - {name: scheduled, zone: scheduled, device: this_machine, model: ${model}, engine: static_schedule}
  - {name: llama, zone: llama, device: this_machine, model: ${model}, engine: {type: llama_embedded, kv_cache: f32}}
`;

const words = 'Lily and Tom went to the big park with a red ball. They saw their dog under the tree and were happy.'.split(' ');
const prompt = (count) =>
  `Once upon a time ${Array.from({ length: count }, (_, i) => words[(i * 7 + Math.floor(i / 5)) % words.length]).join(' ')}`;

for (const { name, model, there } of [
  { name: 'the built-in model', model: 'builtin', there: path.join(root, 'catalog/builtin/builtin.gguf') },
  { name: 'stories260K', model: stories, there: stories },
]) {
  test(`${name}: long prompts are handed over, and the text is the same`, { skip: !fs.existsSync(there) && 'no such model here' }, async (t) => {
    const files = folder(t);
    const log = files.file('decisions.jsonl');
    const server = await Server.start(t, { fleet: files.write('fleet.yaml', fleet(model)), args: ['--decisions', log] });
    const served = (await server.ask('/v1/models')).json.data[0].id;
    const ask = (label, words) =>
      server.ask('/v1/completions', {
        body: { model: served, prompt: prompt(words), max_tokens: 40, temperature: 0 },
        headers: { 'medley-label': label, 'medley-class': 'batch' },
      });
    let handed = 0;
    const lengths = [3, 60, 100, 30, 110, 80];
    const together = await Promise.all(lengths.map((count) => ask('both', count)));
    for (const [i, both] of together.entries()) {
      assert.equal(both.status, 200, both.text);
      for (const alone of ['scheduled', 'llama']) {
        const { json } = await ask(alone, lengths[i]);
        assert.equal(json.medley.pool, alone);
        assert.equal(json.medley.handed_over, null);
        assert.equal(both.json.choices[0].text, json.choices[0].text, `${alone}, ${lengths[i]} words`);
      }
      const tokens = both.json.usage.prompt_tokens;
      assert.equal(both.json.medley.pool, 'both');
      assert.equal(both.json.medley.handed_over, tokens < kFrom ? null : tokens - 1);
      handed += tokens < kFrom ? 0 : 1;
    }
    assert.ok(handed >= 4 && handed < lengths.length, 'some are short');
    assert.equal(await server.metric('medley_prompts_handed_over', 'outcome="done"'), handed);
    assert.equal(await server.metric('medley_prompts_handed_over', 'outcome="failed"'), 0);

    // One that nobody waits for any more leaves nothing behind.
    const left = Stream.open(server, { model: served, messages: [{ role: 'user', content: prompt(110) }], max_tokens: 200, temperature: 0 }, { 'medley-class': 'batch' });
    await left.until_pieces(1);
    left.request.destroy();
    await server.until('nothing is in flight', async () => (await server.metric('medley_in_flight')) === 0);
    assert.equal((await ask('both', 60)).json.choices[0].text, together[1].json.choices[0].text);

    const id = together[1].headers.get('medley-request-id');
    assert.deepEqual(await server.stop(), { status: 0, signal: null });
    const { status, out, err } = await medley('explain', id, '--decisions', log);
    assert.equal(status, 0, err);
    assert.match(out, new RegExp(`what happened: completed, .*, prompt tokens handed over ${together[1].json.medley.handed_over}$`, 'm'));
  });
}

test('prompts as long as no context holds are no threshold', async (t) => {
  const files = folder(t);
  const text = fleet('builtin').replace(`from_tokens: ${kFrom}`, 'from_tokens: 1000000');
  const { status, err } = await medley('serve', '-c', files.write('fleet.yaml', text), '--listen', '127.0.0.1:0');
  assert.equal(status, 2);
  assert.match(err, /pool 'both': prefill\.from_tokens is 1000000, but the context is \d+ tokens, prompt and answer together; expected less/);
});
