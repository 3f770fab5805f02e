// What the end-to-end tests share: running the binary of $MEDLEY, and talking to it.
//
// Every wait has an end, every process is ended by its own handle, every folder is removed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const binary = path.resolve(process.env.MEDLEY || path.join(root, 'build/release/medley'));
export const shared = path.resolve(process.env.MEDLEY_SHARED || path.join(root, '../shared'));

const { OpenAI } = createRequire(path.join(root, 'tools/npm/package.json'))('openai');
export { OpenAI };

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The same promise, but an error that says `what` after `ms`. */
export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A folder for one test, gone after it; `write(name, text)` answers the path. */
export function folder(t) {
  const at = fs.mkdtempSync(path.join(os.tmpdir(), 'medley-e2e-'));
  t.after(() => fs.rmSync(at, { recursive: true, force: true }));
  const file = (name) => path.join(at, name);
  const write = (name, text) => (fs.writeFileSync(file(name), text), file(name));
  return { at, file, write };
}

/** Runs `medley arguments…` to its end: {status, signal, out, err, cpu_s}. */
export async function medley(...args) {
  return run(binary, args);
}

export async function run(program, args, { timeout = 200_000, env = process.env } = {}) {
  const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
  const killer = setTimeout(() => child.kill('SIGKILL'), timeout);
  const [status, signal] = await once(child, 'close');
  clearTimeout(killer);
  return { status, signal, out, err };
}

/** A running `medley serve` on a free port of loopback. */
export class Server {
  static async start(t, { fleet, args = [] } = {}) {
    const server = new Server();
    const line = ['serve', '--listen', '127.0.0.1:0', ...(fleet ? ['-c', fleet] : []), ...args];
    server.child = spawn(binary, line, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    server.err = '';
    server.out = '';
    server.child.stderr.setEncoding('utf8').on('data', (text) => (server.err += text));
    server.ended = once(server.child, 'exit').then(([status, signal]) => ({ status, signal }));
    t.after(async () => {
      if (server.child.exitCode === null && server.child.signalCode === null) server.child.kill('SIGKILL');
      await server.ended;
    });
    const ready = new Promise((resolve, reject) => {
      server.child.stdout.setEncoding('utf8').on('data', (text) => {
        server.out += text;
        const found = /^medley: ready on (http:\/\/127\.0\.0\.1:(\d+)\/v1)\n/m.exec(server.out);
        if (found) resolve(found);
      });
      server.ended.then((how) => reject(new Error(`serve ended: ${JSON.stringify(how)} ${server.err}`)));
    });
    const [, url, port] = await within(60_000, 'the ready line', ready);
    server.url = url;
    server.port = Number(port);
    return server;
  }

  get pid() {
    return this.child.pid;
  }

  client(options = {}) {
    return new OpenAI({ baseURL: this.url, apiKey: 'none', timeout: 60_000, ...options });
  }

  /** One request to its end: {status, headers, text, json}. `body` may be text, sent as it is. */
  async ask(target, { method, body, headers = {} } = {}) {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(`http://127.0.0.1:${this.port}${target}`, {
      method: method ?? (text === undefined ? 'GET' : 'POST'),
      body: text,
      headers: { ...(text === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      signal: AbortSignal.timeout(60_000),
    });
    const answer = await response.text();
    let json = null;
    try {
      json = JSON.parse(answer);
    } catch {
      // not every answer is JSON
    }
    return { status: response.status, headers: response.headers, text: answer, json };
  }

  chat(body, headers) {
    return this.ask('/v1/chat/completions', { body, headers });
  }

  /** The sum of a metric over the labels that contain `labels` as they are written. */
  async metric(name, labels = '') {
    const { text } = await this.ask('/metrics');
    let sum = 0;
    for (const line of text.split('\n')) {
      const at = line.lastIndexOf(' ');
      const [found] = line.slice(0, at).split('{');
      if (found === name && line.includes(labels)) sum += Number(line.slice(at + 1));
    }
    return sum;
  }

  /** Polls until `holds` does; answers the milliseconds it took. */
  async until(what, holds, ms = 10_000) {
    const from = performance.now();
    while (!(await holds())) {
      if (performance.now() - from > ms) throw new Error(`${what}: not after ${ms} ms`);
    }
    return performance.now() - from;
  }

  /** SIGTERM; answers {status, signal}. */
  async stop() {
    this.child.kill('SIGTERM');
    return within(15_000, 'the end after SIGTERM', this.ended);
  }
}

/**
 * A streamed chat over a socket of its own, read as it comes: `events` are the parsed data lines (`'[DONE]'` is text),
 * `done` resolves with 'end' when the body ended as HTTP wants it, with 'broken' when the connection was cut before.
 */
export class Stream {
  static open(server, body, headers = {}) {
    const stream = new Stream();
    stream.events = [];
    let waiting = [];
    let rest = '';
    const text = JSON.stringify({ stream: true, ...body });
    stream.done = new Promise((resolve) => {
      stream.request = http.request(
        {
          host: '127.0.0.1',
          port: server.port,
          path: '/v1/chat/completions',
          method: 'POST',
          agent: false,
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers },
        },
        (response) => {
          stream.status = response.statusCode;
          stream.headers = response.headers;
          response.setEncoding('utf8');
          response.on('data', (piece) => {
            const lines = (rest + piece).split('\n');
            rest = lines.pop();
            for (const line of lines) {
              if (!line.startsWith('data: ')) continue;
              const data = line.slice(6);
              stream.events.push(data === '[DONE]' ? data : JSON.parse(data));
            }
            for (const wake of waiting.splice(0)) wake();
          });
          response.on('close', () => {
            resolve(response.complete ? 'end' : 'broken');
            for (const wake of waiting.splice(0)) wake();
          });
          response.on('error', () => {});
        },
      );
      stream.request.on('error', () => resolve('broken'));
      stream.request.end(text);
    });
    stream.pieces = () => stream.events.map((e) => e.choices?.[0]?.delta?.content).filter(Boolean);
    stream.error = () => stream.events.find((e) => e.error)?.error;
    /** Resolves when `count` pieces of text are there. */
    stream.until_pieces = async (count) => {
      while (stream.pieces().length < count) {
        await Promise.race([
          new Promise((wake) => waiting.push(wake)),
          stream.done.then((how) => {
            if (stream.pieces().length < count) throw new Error(`${how} after ${stream.pieces().length} pieces`);
          }),
        ]);
      }
    };
    return stream;
  }
}

/** The emulated engine's filler, token by token (src/engine/emulated/filler.cc), by the parity of its request number. */
const kFiller = (
  'These words stand in for the answer of a model; their timing is that of the catalogue device, computed from its ' +
  'memory, its arithmetic and the other sequences in the batch. Nothing was read and nothing was thought about.'
).split(' ');
export function filler(device, variant, tokens) {
  let text = `[emulated ${device}]`;
  const start = variant % 2 === 0 ? 0 : 31;
  for (let i = 0; i + 1 < tokens; ++i) text += ` ${kFiller[(start + i) % kFiller.length]}`;
  return text;
}
