import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './cluster.ts';
import { isListening, ServerProcess } from './server-process.ts';

// Leaves the parameters that the header names out of what an answer is kept under, as a Dragonfly daemon does.
const STORE_ID = `#!/usr/bin/env python3
import sys
from urllib.parse import unquote, urlsplit, parse_qsl, urlencode
for line in sys.stdin:
    url, names = (line.split() + [''])[:2]
    filtered = set(unquote(names).split('&'))
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, True) if name not in filtered]
    print('OK store-id=' + parts._replace(query=urlencode(kept)).geturl(), flush=True)
`;

/** Whether squid is here; says why tests are skipped where not. */
export function hasSquid(what: string): boolean {
  try {
    execFileSync('squid', ['-v'], { stdio: 'ignore' });
    return true;
  } catch {
    process.stdout.write(`skipped: ${what}: there is no squid (Debian package squid)\n`);
    return false;
  }
}

/** A proxy that keeps answers as a Dragonfly daemon does, and writes down which it had. */
export class SquidServer {
  readonly url: string;
  readonly process: ServerProcess;
  readonly #folder: string;

  readonly #port: number;

  private constructor(port: number, process: ServerProcess, folder: string) {
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.process = process;
    this.#folder = folder;
  }

  static async start(): Promise<SquidServer> {
    const folder = mkdtempSync(join(tmpdir(), 'modelserve-squid-'));
    chmodSync(folder, 0o777); // started by root it becomes another user
    const [port = 0] = await freePorts(1);
    writeFileSync(join(folder, 'store-id'), STORE_ID, { mode: 0o755 });
    const lines = [
      `http_port 127.0.0.1:${port}`,
      `store_id_program ${join(folder, 'store-id')}`,
      'store_id_extras "%{X-Dragonfly-Filter}>h"',
      // One question at a time each: of two answers that come together squid may misread the second.
      'store_id_children 4 startup=4 concurrency=0',
      'range_offset_limit none',
      'cache_mem 128 MB',
      'maximum_object_size_in_memory 64 MB',
      'refresh_pattern . 60 100% 600 override-expire ignore-reload ignore-no-store ignore-private',
      'http_access allow all',
      'strip_query_terms off',
      `pid_filename ${join(folder, 'pid')}`,
      `access_log stdio:${join(folder, 'access.log')}`,
      `cache_log ${join(folder, 'cache.log')}`,
      `coredump_dir ${folder}`,
      'shutdown_lifetime 0 seconds',
    ];
    writeFileSync(join(folder, 'squid.conf'), `${lines.join('\n')}\n`);
    const server = new ServerProcess({
      ...{ what: 'squid', command: 'squid', cwd: folder },
      args: ['-f', join(folder, 'squid.conf'), '-N', '-n', serviceName(port)],
      isReady: async () => await isListening(port),
    });
    await server.start();
    return new SquidServer(port, server, folder);
  }

  /** `TCP_MISS/206 http://…` of each answer so far */
  get answers(): readonly string[] {
    const file = join(this.#folder, 'access.log');
    const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
    return lines.map((line) => {
      const [, , , result, , , url] = line.split(/\s+/);
      return `${result} ${url}`;
    });
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    await this.process.kill();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
    const shared = readdirSync('/dev/shm').filter((name) => name.startsWith(`${serviceName(this.#port)}-`));
    for (const name of shared) rmSync(join('/dev/shm', name), { force: true });
  }
}

/** Shared memory is named after it, and stays when the process is killed. */
function serviceName(port: number): string {
  return `modelserve${port}`;
}
