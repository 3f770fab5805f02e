// tools/setup.sh where the network fails: a copy of it in a folder of its own, with stand-ins for what it calls.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { folder, root, run } from './medley.mjs';

/** The script in a tree where everything but libllama is there; `commands` are shell scripts by name. */
function tree(t, commands) {
  const files = folder(t);
  for (const name of ['tools/npm/node_modules', 'bin']) fs.mkdirSync(files.file(name), { recursive: true });
  fs.copyFileSync(path.join(root, 'tools/setup.sh'), files.file('tools/setup.sh'));
  files.write('tools/debian-packages.txt', '# none\n');
  files.write('tools/npm/package-lock.json', '{}\n');
  files.write('tools/npm/node_modules/.medley-lockfile', '{}\n');
  for (const [name, script] of Object.entries(commands))
    fs.chmodSync(files.write(`bin/${name}`, `#!/bin/sh\n${script}\n`), 0o755);
  const env = { ...process.env, PATH: `${files.file('bin')}:${process.env.PATH}` };
  return { ...files, setup: () => run('bash', [files.file('tools/setup.sh')], { env, timeout: 20_000 }) };
}

const [, version] = /^llama_version=(.*)$/m.exec(fs.readFileSync(path.join(root, 'tools/setup.sh'), 'utf8'));

test('a download that fails leaves nothing behind, nor does one before it that was killed', async (t) => {
  const machine = tree(t, { node: `echo ${version}`, npm: 'echo "no network" >&2; exit 1' });
  fs.mkdirSync(machine.file('.deps/llama.new/tree'), { recursive: true });
  const ended = await machine.setup();
  assert.notEqual(ended.status, 0);
  assert.match(ended.err, /no network/);
  assert.match(ended.err, /setup: failed at line \d+/);
  assert.deepEqual(fs.readdirSync(machine.file('.deps')), ['lock']);
});

test('a download of another checksum is refused and leaves nothing behind', async (t) => {
  const machine = tree(t, { node: `echo ${version}`, npm: `echo hello >node-llama-cpp-${version}.tgz` });
  const ended = await machine.setup();
  assert.equal(ended.status, 1);
  assert.match(ended.err, /has not the checksum pinned in tools\/setup\.sh/);
  assert.deepEqual(fs.readdirSync(machine.file('.deps')), ['lock']);
});
