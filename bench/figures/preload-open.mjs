// What the preload library costs a program that opens files it has nothing to do with.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CLI, ROOT } from '../lib/paths.mjs';
import { runToEnd } from '../lib/processes.mjs';
import { median } from '../lib/statistics.mjs';
import { judged } from './row.mjs';

const TIMES = 7;
const OPENS = 200_000;
const TIMEOUT_MS = 60_000;
const FIGURE = {
  what: 'an open and close of any other file with the preload library, over one without',
  unit: 'µs',
  atMost: 0.6,
};

/** @param {import('./head.mjs').Context} context */
export async function preloadOpen(context) {
  const folder = context.workspace.newFolder();
  const program = join(folder, 'opens');
  const source = join(ROOT, 'bench', 'programs', 'native', 'opens.c');
  const built = await runToEnd('cc', ['-O2', '-o', program, source], { timeoutMs: TIMEOUT_MS });
  const library = await runToEnd(process.execPath, [CLI, 'preload'], { timeoutMs: TIMEOUT_MS });
  if (built.code !== 0 || library.code !== 0) {
    return [judged({ ...FIGURE, values: [], note: 'no C compiler on the PATH' })];
  }
  const modelDir = join(folder, 'model');
  mkdirSync(modelDir);
  const file = join(folder, 'other');
  writeFileSync(file, 'x');
  const loaded = { LD_PRELOAD: library.output.trim(), MODEL_DIR: modelDir };
  const [without, withIt] = [[], []];
  for (let time = 0; time < TIMES; time += 1) {
    without.push(await microseconds(program, file, {}));
    withIt.push(await microseconds(program, file, loaded));
  }
  const note = `CPU time, medians of ${TIMES} runs of ${OPENS} opens each: ${median(without).toFixed(2)} µs without`;
  return [judged({ ...FIGURE, values: [median(withIt) - median(without)], note })];
}

async function microseconds(program, file, env) {
  const { code, output } = await runToEnd(program, [file, String(OPENS)], { timeoutMs: TIMEOUT_MS, env });
  if (code !== 0) throw new Error(`opens ended with ${code}: ${output}`);
  return Number(output) / 1_000;
}
