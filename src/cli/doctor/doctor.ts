import pc from 'picocolors';
import type { StatePaths } from '../../config/paths.ts';
import { ExitCode } from '../exit.ts';
import { print, printError, printJson } from '../output.ts';
import { writeBundle } from './bundle.ts';
import type { DoctorFinding } from './finding.ts';
import { machineChecks } from './machine-checks.ts';
import { nodeChecks } from './node-checks.ts';

export interface DoctorOptions {
  readonly json: boolean;
  /** file to write; null: none */
  readonly bundle: string | null;
}

const MARKS: Readonly<Record<DoctorFinding['state'], string>> = {
  ok: pc.green('✓'),
  note: pc.dim('·'),
  warn: pc.yellow('!'),
  bad: pc.red('✗'),
};

/** `modelserve doctor`: ends with 1 when something keeps modelserve from working. */
export async function doctorCommand(paths: StatePaths, { json, bundle }: DoctorOptions): Promise<ExitCode> {
  const findings = [...(await machineChecks(paths)), ...(await nodeChecks(paths))];
  if (json) printJson(findings);
  else for (const finding of findings) print(lineOf(finding));
  if (bundle !== null) {
    const files = await writeBundle(bundle, paths, findings);
    const say = json ? printError : print;
    say(`\nwrote ${bundle} (${files.length} files): look through it before you send it`);
  }
  return findings.some(({ state }) => state === 'bad') ? ExitCode.failed : ExitCode.done;
}

function lineOf({ check, state, found, advice }: DoctorFinding): string {
  const line = `${MARKS[state]} ${check.padEnd(16)} ${found}`;
  return advice === '' ? line : `${line}\n${' '.repeat(19)}${pc.dim('→')} ${advice}`;
}
