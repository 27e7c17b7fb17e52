import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Revision } from '../cluster/spec/types.ts';
import { compileConf } from '../config/compile.ts';
import { renderFinding } from '../config/finding.ts';
import { ServeError } from '../lib/errors.ts';
import { readIfThere } from '../lib/files.ts';
import { sha256 } from '../lib/hash.ts';

/** --conf as given, or its default. */
export interface ConfChoice {
  readonly path: string;
  readonly given: boolean;
}

/** What a head does with its conf.ini at the start. */
export interface InitialConf {
  /** null: nothing is applied */
  readonly apply: string | null;
  /** for the person who started it */
  readonly notes: readonly string[];
}

/** What a head remembers of earlier applies. */
export interface KnownConfs {
  readonly revision: Revision | null;
  /** hash of the text that was applied last from a path; null for never */
  readonly lastRead: (path: string) => string | null;
}

const DEFAULT_PORT = 8000;

/**
 * The recorded revision goes on; conf.ini is applied only if there is none yet, or if the file has changed since it was
 * last applied from that path (which another path's may have followed). Mistakes in it are a warning then.
 * @throws ServeError BAD_USAGE with all mistakes when there is nothing to go on with
 */
export async function confToApply(conf: ConfChoice, known: KnownConfs): Promise<InitialConf> {
  const { revision } = known;
  const path = resolve(conf.path);
  if (!existsSync(path) && !conf.given) {
    const goesOn =
      revision === null
        ? 'nothing is served until `modelserve controller --conf FILE`'
        : `revision ${revision.number} goes on`;
    return { apply: null, notes: [`there is no ${conf.path} here: ${goesOn}`] };
  }
  if (revision !== null && (await readHash(path)) === known.lastRead(path)) {
    return { apply: null, notes: [`${conf.path} has not changed: revision ${revision.number} goes on`] };
  }
  const compiled = await compileConf(path);
  if (compiled.ok)
    return { apply: path, notes: compiled.conf.warnings.map((one) => `warning: ${renderFinding(one)}`) };
  const mistakes = compiled.mistakes.map(renderFinding);
  if (revision !== null) {
    return {
      apply: null,
      notes: [...mistakes.map((one) => `warning: ${one}`), `revision ${revision.number} goes on`],
    };
  }
  throw new ServeError([...mistakes, `nothing was started: mend ${conf.path} and try again`].join('\n'), {
    code: 'BAD_USAGE',
  });
}

/** @returns undefined where there is no such file */
async function readHash(path: string): Promise<string | undefined> {
  const text = await readIfThere(path).catch(() => null); // what keeps it from being read, compiling it says
  return text === null ? undefined : sha256(text);
}

/** The port to listen on before the first routing table names one. */
export async function initialPort(conf: ConfChoice, revision: Revision | null): Promise<number> {
  if (revision !== null) return revision.settings.port;
  const compiled = await compileConf(resolve(conf.path));
  return compiled.ok ? compiled.conf.settings.port : DEFAULT_PORT;
}
