import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A folder with conf.ini, algopkg and Model_ZOO, as a user would have it. */
export class Project {
  readonly dir: string;
  readonly conf: string;
  /** not the default one, which a cluster of the person who runs the tests may have */
  readonly port = 20_000 + Math.floor(Math.random() * 10_000);

  constructor(prefix = 'modelserve-project-') {
    this.dir = mkdtempSync(join(tmpdir(), prefix));
    this.conf = join(this.dir, 'conf.ini');
    mkdirSync(join(this.dir, 'algopkg'));
    mkdirSync(join(this.dir, 'Model_ZOO'));
  }

  write(path: string, content: string): void {
    const file = join(this.dir, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }

  /** a Python package whose class `Backend` has this source */
  package(name: string, source: string): void {
    this.write(`algopkg/${name}/__init__.py`, '');
    this.write(`algopkg/${name}/backend.py`, source);
  }

  /** conf.ini from sections; `[MODEL SERVE] port` only matters where a head is not told --http-port */
  sections(sections: Readonly<Record<string, Readonly<Record<string, string | number>>>>): void {
    const text = Object.entries(sections).map(([name, keys]) =>
      [`[algopkg.${name}]`, ...Object.entries(keys).map(([key, value]) => `${key} = ${value}`)].join('\n'),
    );
    this.write('conf.ini', [`[MODEL SERVE]\nport = ${this.port}`, ...text, ''].join('\n\n'));
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/**
 * A backend that answers with its version, configuration, pid and what it was sent. `loadS` is how long its
 * constructor takes, `workS` each call.
 */
export function echoSource(
  options: { readonly version?: string; readonly loadS?: number; readonly workS?: number } = {},
): string {
  const { version = 'v1', loadS = 0, workS = 0 } = options;
  return `
import asyncio, os, time

class Backend(object):
    def __init__(self, model_path):
        time.sleep(${loadS})
        self.config = None

    def reconfigure(self, config):
        self.config = config

    async def __call__(self, request):
        param = await request.json()
        if ${workS}:
            await asyncio.sleep(${workS})
        return {'status': 1, 'version': '${version}', 'config': self.config, 'pid': os.getpid()}
`;
}
