// Every mistake a client can make over the wire: its status, param and code, and the server that goes on.
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { Server, folder } from './medley.mjs';

const good = `
labels:
  public: {zones: any}
  nowhere: {zones: []}
default_label: public
pools:
  - name: emu
    device: h100_sxm
    model: llama-3.1-8b
    precision: bf16
    replicas: 1
`;

test('the wire: each mistake its status, param and code, and the server goes on', async (t) => {
  const files = folder(t);
  const server = await Server.start(t, { fleet: files.write('fleet.yaml', good) });
  const messages = [{ role: 'user', content: 'Hello!' }];
  const fine = { model: 'llama-3.1-8b', messages, max_tokens: 3 };
  const batch = { 'medley-class': 'batch' };
  const cases = [
    // what, body, headers, status, param, code
    ['torn JSON', '{"model":"llama-3.1-8b","mess', {}, 400, null, null],
    ['no JSON', 'hello', {}, 400, null, null],
    ['empty', '', {}, 400, null, null],
    ['a list', '[]', {}, 400, null, null],
    ['bytes that are no UTF-8 text', '{"model":"\\ud800","messages":[]}', {}, 400, null, null],
    ['no model', { messages }, {}, 400, 'model', null],
    ['model of a wrong type', { ...fine, model: 7 }, {}, 400, 'model', null],
    ['no messages', { model: fine.model }, {}, 400, 'messages', null],
    ['messages of a wrong type', { ...fine, messages: 'hi' }, {}, 400, 'messages', null],
    ['no message', { ...fine, messages: [] }, {}, 400, 'messages', null],
    ['a message that is none', { ...fine, messages: [messages[0], 7] }, {}, 400, 'messages[1]', null],
    ['temperature of a wrong type', { ...fine, temperature: 'hot' }, {}, 400, 'temperature', null],
    ['temperature out of range', { ...fine, temperature: 2.5 }, {}, 400, 'temperature', null],
    ['max_tokens', { ...fine, max_tokens: 0 }, {}, 400, 'max_tokens', null],
    ['max_tokens that is no whole number', { ...fine, max_tokens: 1.5 }, {}, 400, 'max_tokens', null],
    ['stream of a wrong type', { ...fine, stream: 'yes' }, {}, 400, 'stream', null],
    ['two answers', { ...fine, n: 2 }, {}, 400, 'n', null],
    ['tools', { ...fine, tools: [{ type: 'function', function: { name: 'f' } }] }, {}, 400, 'tools', null],
    ['a key given twice', '{"messages":null,"model":"llama-3.1-8b","messages":[{"role":"user","content":"x"}]}', {}, 400, 'messages', null],
    ['stop', { ...fine, stop: [''] }, {}, 400, 'stop', null],
    ['unknown tier', { ...fine, service_tier: 'prority' }, {}, 400, 'service_tier', null],
    ['unknown class', fine, { 'medley-class': 'standart' }, 400, 'medley-class', null],
    ['unknown label', fine, { 'medley-label': 'publik' }, 400, 'medley-label', null],
    ['a target without unit', fine, { 'medley-ttft': '200' }, 400, 'medley-ttft', null],
    ['unknown model', { ...fine, model: 'llama-3.1-9b' }, {}, 404, 'model', 'model_not_found'],
    ['a label that forbids every pool', fine, { 'medley-label': 'nowhere' }, 403, 'label', 'no_lawful_pool'],
    ['an over-long prompt', { ...fine, messages: [{ role: 'user', content: 'word '.repeat(700_000) }] }, batch, 400, 'messages', 'context_length_exceeded'],
    ['an over-long prompt, streamed', { ...fine, stream: true, messages: [{ role: 'user', content: 'word '.repeat(700_000) }] }, batch, 400, 'messages', 'context_length_exceeded'],
  ];
  for (const [what, body, headers, status, param, code] of cases) {
    const answer = await server.chat(body, headers);
    assert.equal(answer.status, status, `${what}: ${answer.text}`);
    assert.deepEqual(Object.keys(answer.json?.error ?? {}).sort(), ['code', 'message', 'param', 'type'], `${what}: ${answer.text}`);
    const { error } = answer.json;
    assert.equal(error.param, param, `${what}: ${answer.text}`);
    assert.equal(error.code, code, `${what}: ${answer.text}`);
    assert.ok(error.message.length > 0 && error.type.length > 0, what);
    assert.match(answer.headers.get('x-request-id') ?? '', /^req-[0-9a-f]{8,}$/, what);
  }
  const suggestion = async (body, headers) => (await server.chat(body, headers)).json.error.message;
  assert.match(await suggestion({ ...fine, service_tier: 'prority' }), /'priority'/);
  assert.match(await suggestion({ ...fine, model: 'llama-3.1-8c' }), /'llama-3\.1-8b'/);
  assert.match(await suggestion(fine, { 'medley-label': 'publik' }), /'public'/);

  assert.equal((await server.ask('/v1/completions', { body: { model: fine.model } })).json.error.param, 'prompt');
  assert.equal((await server.ask('/v1/completions', { body: { model: fine.model, prompt: 7 } })).json.error.param, 'prompt');
  assert.equal((await server.ask('/v1/nothing')).status, 404);
  assert.equal((await server.ask('/v1/chat/completions')).status, 405);
  assert.equal((await server.ask('/v1/models/llama-3.1-9b')).status, 404);
  const large = await server.chat({ ...fine, messages: [{ role: 'user', content: 'x'.repeat(9 << 20) }] }).catch((error) => error);
  assert.ok(large instanceof Error || large.status === 413, large.text); // refused before all of it was sent

  const garbled = await new Promise((resolve, reject) => {
    let text = '';
    const socket = net.connect(server.port, '127.0.0.1', () => socket.write('this is no HTTP\r\n\r\n'));
    socket.setEncoding('utf8').on('data', (piece) => (text += piece)).on('end', () => resolve(text)).on('error', reject);
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no end after: ${text}`)));
  });
  assert.match(garbled, /^HTTP\/1\.1 400 /);
  assert.match(garbled, /^x-request-id: req-[0-9a-f]{8}\r$/m);
  assert.match(garbled, /"message":"this is not proper HTTP/);

  // The client that people use gets its own kinds of error.
  const client = server.client({ maxRetries: 0 });
  await assert.rejects(client.chat.completions.create({ ...fine, model: 'nothing' }), (error) => error.status === 404 && error.code === 'model_not_found' && error.param === 'model');
  await assert.rejects(client.chat.completions.create({ ...fine, temperature: 9 }), (error) => error.status === 400 && error.param === 'temperature');

  const after = await server.chat(fine, batch);
  assert.equal(after.status, 200, after.text);
  assert.equal(after.json.usage.completion_tokens, 3);
  assert.equal(await server.metric('medley_in_flight'), 0);
  assert.deepEqual(await server.stop(), { status: 0, signal: null });
});
