// The built-in model, asked by the client that people use.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { Server, root, within } from './medley.mjs';

const model = 'builtin';

async function streamed(client, content, options = {}) {
  let text = '';
  let chunks = 0;
  let finish = null;
  const stream = await client.chat.completions.create({ model, stream: true, messages: [{ role: 'user', content }], ...options });
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    if (choice?.delta?.content) ++chunks;
    text += choice?.delta?.content ?? '';
    finish = choice?.finish_reason ?? finish;
  }
  return { text, chunks, finish };
}

test('a greeting is answered in a stream; the same seed at temperature 0 gives the same text again', async (t) => {
  const server = await Server.start(t);
  const client = server.client();
  const greeting = await within(60_000, 'an answer', streamed(client, 'Hello!', { max_tokens: 60 }));
  t.diagnostic(`Hello! -> ${greeting.text}`);
  assert.ok(greeting.text.trim().length > 0);
  assert.ok(greeting.chunks > 1, 'it comes in pieces');
  assert.ok(['stop', 'length'].includes(greeting.finish));

  const asked = { temperature: 0, seed: 7, max_tokens: 60 };
  for (const content of ['Hello!', 'What is a lantern?', 'Tell me about winter.']) {
    const first = await streamed(client, content, asked);
    const again = await streamed(client, content, asked);
    assert.equal(again.text, first.text);
    const whole = await client.chat.completions.create({ model, messages: [{ role: 'user', content }], ...asked });
    assert.equal(whole.choices[0].message.content, first.text, 'streamed or not, the text is the same');
    assert.equal(whole.medley.engine, 'real');
  }
  assert.deepEqual(await server.stop(), { status: 0, signal: null });
});

// The prompts of tools/builtin_model/evaluate.py, and its way to cut words.
const kWord = /\p{L}+(?:'\p{L}+)*/gu;
const kPrompts = [
  'Hello!', 'hi', 'Hi there, how are you?', 'Good morning!', 'Hey', 'Hello, can you hear me?', 'Who are you?',
  'What can you do?', 'Thank you very much!', 'Goodbye!', 'My name is Maria.', 'How old are you?', 'Hallo!',
  'What is a lantern?', 'What is a dog?', 'What is music?', 'What is a river?', 'What does brave mean?', 'Define hammer.',
  'What is happiness?', 'What does it mean to run?', 'What is a computer?', 'What is a planet?', 'Explain the word gravity.',
  'What is a teacher?', 'what is bread', 'What does quickly mean?', 'What is an engine?', 'What is a token?',
  'Use the word house in a sentence.', 'Give me a sentence with water.', 'Make a sentence with the word friend.',
  'Can you use open in a sentence?', 'Tell me about cats.', 'Tell me about winter.', 'Tell me something about trees.',
  'What do you know about ships?', 'What is the opposite of hot?', 'What is another word for big?', 'Name some kinds of bird.',
  'Tell me a story.', 'Tell me a story about a fox.', 'Write a short story about a robot.', 'Tell me a joke.',
  'How do I cook rice?', 'Write a poem about the sea.', 'What is the capital of France?', 'Why is the sky blue?',
  'What is 2 + 3?', 'Please summarize the plot of a film that you like.',
];

test('over 50 sampled answers at least 95 % of the words occur in the training text', async (t) => {
  const packed = fs.readFileSync(path.join(root, 'catalog/builtin/words.txt.gz'));
  const known = new Set(zlib.gunzipSync(packed).toString('utf8').split(/\s+/).filter(Boolean));
  const server = await Server.start(t);
  const client = server.client();
  assert.equal(kPrompts.length, 50);
  let total = 0;
  let cut = 0;
  const strange = [];
  for (const [i, content] of kPrompts.entries()) {
    const { text, finish } = await streamed(client, content, { temperature: 0.8, seed: i + 1, max_tokens: 160 });
    const words = text.toLowerCase().match(kWord) ?? [];
    assert.ok(words.length > 0, `no word in the answer to ${content}: '${text}'`);
    total += words.length;
    if (finish === 'length') ++cut;
    strange.push(...words.filter((one) => !known.has(one)));
  }
  const share = 1 - strange.length / total;
  t.diagnostic(`${total} words, ${(100 * share).toFixed(2)} % known, ${cut} answers cut; unknown: ${strange.join(' ')}`);
  assert.ok(total > 300, `only ${total} words`);
  assert.ok(share >= 0.95, `${(100 * share).toFixed(2)} %`);
  assert.deepEqual(await server.stop(), { status: 0, signal: null });
});
