import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Project } from './project.ts';

// Both backends do what a request's JSON says, and write down in a journal what happened to them.
const python = `
import asyncio, ctypes, os, signal, time

def note(*words):
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(" ".join(str(word) for word in words) + "\\n")

class Chaos:
    def __init__(self, model_path):
        pass

    async def __call__(self, request):
        p = await request.json()
        return await getattr(self, p["op"])(p)

    async def pid(self, p):
        return {"n": p.get("n"), "pid": os.getpid()}

    async def hold(self, p):
        note("begun", p["n"], os.getpid())
        try:
            while not os.path.exists(p["gate"]):
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            note("cancelled", p["n"])
            raise
        return await self.pid(p)

    async def die(self, p):
        note("died", os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)

    async def fork(self, p):
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        return {"pid": os.getpid(), "child": child}

    async def stream(self, p):
        return self.parts(p)

    async def parts(self, p):
        made = 0
        try:
            while made != p.get("fail"):
                made += 1
                if made % 1000 == 0:
                    note("made", made)
                yield {"made": made, "filler": "x" * 1000}
            raise ValueError("on purpose")
        finally:
            note("closed", p["n"])

    async def busy(self, p):
        note("begun", p["n"], os.getpid())
        end = time.monotonic() + p["s"]
        if p["how"] == "sleep":
            time.sleep(p["s"])
        elif p["how"] == "computes":
            while time.monotonic() < end:
                sum(range(10000))
        else:
            self.hold_the_lock(p["s"])
        return await self.pid(p)

    # One native call that computes and does not let go of the interpreter: looks for each of some characters in many.
    def hold_the_lock(self, seconds):
        find = ctypes.PyDLL(None).wcsspn
        find.argtypes = [ctypes.c_wchar_p, ctypes.c_wchar_p]
        accepted = "a" * 200000 + "b"
        begun = time.monotonic()
        find("b" * 1000, accepted)
        find("b" * int(1000 * seconds / (time.monotonic() - begun)), accepted)
`;

const typescript = `
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

type Parameters = { op: string; n: number; gate: string; how: string; s: number; fail?: number };
const note = (...words: unknown[]): void => appendFileSync(process.env.JOURNAL ?? '', words.join(' ') + '\\n');

export class Chaos {
  async call(request: { json(): Promise<Parameters>; signal: AbortSignal }): Promise<unknown> {
    const p = await request.json();
    switch (p.op) {
      case 'hold':
        note('begun', p.n, process.pid);
        while (!existsSync(p.gate) && !request.signal.aborted) await delay(10);
        if (request.signal.aborted) note('cancelled', p.n);
        break;
      case 'die':
        note('died', process.pid);
        process.kill(process.pid, 'SIGKILL');
        break;
      case 'fork':
        return { pid: process.pid, child: spawn('sleep', ['600']).pid };
      case 'stream':
        return this.parts(p);
      case 'busy': {
        note('begun', p.n, process.pid);
        const end = performance.now() + 1000 * p.s;
        if (p.how === 'sleep') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000 * p.s);
        while (performance.now() < end);
      }
    }
    return { n: p.n, pid: process.pid };
  }

  async *parts(p: Parameters): AsyncGenerator<unknown> {
    let made = 0;
    try {
      while (made !== p.fail) {
        made += 1;
        if (made % 1000 === 0) note('made', made);
        yield { made, filler: 'x'.repeat(1000) };
      }
      throw new Error('on purpose');
    } finally {
      note('closed', p.n);
    }
  }
}
`;

export type Language = 'python' | 'typescript';

/** Writes the package `Chaos`: its class does what it is told, up to killing itself. */
export function writeChaos(project: Project, language: Language): void {
  if (language === 'python') project.package('Chaos', python);
  else {
    project.write('algopkg/Chaos/backend.ts', typescript);
    project.write('algopkg/Chaos/package.json', '{ "type": "module" }\n');
  }
}

/** What the backends wrote down, and a gate for calls that are held. */
export class Journal {
  readonly path: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, 'journal');
    writeFileSync(this.path, '');
  }

  /** The words after the first of every line that begins with it. */
  lines(first: string): readonly (readonly string[])[] {
    return readFileSync(this.path, 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .filter(([word]) => word === first)
      .map(([, ...words]) => words);
  }

  /** A file that does not exist until `open`. */
  gate(name: string): { readonly path: string; readonly open: () => void } {
    const path = join(this.#folder, `gate-${name}`);
    if (existsSync(path)) throw new Error(`${path} is open already`);
    return { path, open: () => writeFileSync(path, '') };
  }
}
