import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, onTestFinished, vi } from 'vitest';
import { tempDir } from '../support/temp-dir.ts';
import type { OssDouble } from './oss-double.ts';

const ROOT = resolve(import.meta.dirname, '../..');
export const PYTHON_PACKAGE = join(ROOT, 'src/connector/python');
export const PROGRAM = join(ROOT, 'dist/cli/main.js');

export interface PythonEnd {
  readonly code: number | null;
  readonly output: string;
}

/** Where a Python process finds what it needs; all of it is the running test's own. */
export interface PythonPlace {
  /** TMPDIR of the process and of its server */
  readonly folder: string;
  /** objects are held below it */
  readonly memory: string;
  readonly configPath: string;
  readonly env: Readonly<Record<string, string>>;
  /** the interpreter */
  readonly python: string;
}

/** @param prefetch of the configuration */
export function pythonPlace(oss: OssDouble, prefetch: object = {}): PythonPlace {
  const folder = tempDir();
  const memory = join(folder, 'memory');
  mkdirSync(memory);
  onTestFinished(() => serversEnded(folder));
  const configPath = join(folder, 'config.json');
  const paths = { logPath: join(folder, 'log'), auditPath: join(folder, 'audit') };
  writeFileSync(configPath, JSON.stringify({ ...paths, prefetch: { directory: memory, ...prefetch } }));
  const env = {
    ...{ PATH: process.env['PATH'] ?? '', HOME: folder, TMPDIR: folder, PYTHONPATH: PYTHON_PACKAGE },
    ...{ PYTHONDONTWRITEBYTECODE: '1', PYTHONUNBUFFERED: '1', MODELSERVE_BIN: PROGRAM },
    ...{ OSS_ACCESS_KEY_ID: 'an-id', OSS_ACCESS_KEY_SECRET: 'a-secret' },
    ...{ ENDPOINT: oss.endpoint, CONFIG_PATH: configPath },
  };
  return { folder, memory, configPath, env, python: 'python3' };
}

/** Servers end after their clients, each with its folder. Also where a test is over: they write until then. */
export async function serversEnded(folder: string): Promise<void> {
  const serverFolders = (): string[] =>
    readdirSync(folder).filter((name) => name.startsWith('modelserve-connector-'));
  await vi.waitFor(() => expect(serverFolders()).toEqual([]), { timeout: 20_000 });
}

/** What each test's program begins with: `connect()` gives a connector that is allowed to ask. */
export const PRELUDE = `
import os, sys, gc, time, json, hashlib
from ossmodelconnector import OssModelConnector, OssError
class Key:
    access_key_id, access_key_secret, security_token = 'an-id', 'a-secret', ''
class Provider:
    def get_credentials(self): return Key()
def connect(**about):
    given = dict(cred_provider=Provider(), config_path=os.environ['CONFIG_PATH'])
    return OssModelConnector(os.environ['ENDPOINT'], **dict(given, **about))
def until(fact):
    for _ in range(3000):
        if fact(): return
        time.sleep(0.01)
    raise AssertionError('it did not become true')
def held():
    memory = os.path.join(os.environ['TMPDIR'], 'memory')
    return [name for folder in os.listdir(memory) for name in os.listdir(os.path.join(memory, folder))]
`;

/** Runs a program to its end. @param onLine called with each line that it prints */
export async function runPython(
  place: PythonPlace,
  source: string,
  onLine: (line: string, send: (text: string) => void) => void = () => undefined,
): Promise<PythonEnd> {
  const child = spawn(place.python, ['-c', source], { cwd: place.folder, env: place.env });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  let line = '';
  child.stderr.on('data', (text: Buffer) => {
    output += text;
  });
  child.stdout.on('data', (text: Buffer) => {
    output += text;
    const lines = (line + text).split('\n');
    line = lines.pop() ?? '';
    for (const each of lines) onLine(each, (answer) => void child.stdin.write(answer));
  });
  const code = await new Promise<number | null>((done) => child.once('close', done));
  return { code, output };
}
