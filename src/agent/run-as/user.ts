import { runCommand } from '../../lib/process/command.ts';
import { findProgram } from '../../lib/process/find-program.ts';
import type { Env } from '../environments/plan.ts';
import { PreparationError } from '../environments/preparation-error.ts';

/** Whom a backend runs as in place of root: `run_as` of its section, as this machine knows it. */
export interface User {
  /** as conf.ini has it */
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  /** of the program that becomes the user */
  readonly setpriv: string;
  /** who has an account is in its groups (video, render: GPUs may depend on them); a bare number is in none */
  readonly groups: 'of-account' | 'none';
}

const LOOKUP_MS = 10_000;

/**
 * Looks a user up.
 * @param runAs `user`, `user:group`, or their numbers
 * @param env where programs are looked for
 * @throws PreparationError RUN_AS saying what this node lacks for it
 */
export async function findUser(runAs: string, env: Env): Promise<User> {
  const own = process.getuid?.();
  if (own !== 0) {
    throw refused(
      runAs,
      `only root may start processes as another user, and this node runs as user id ${own}`,
    );
  }
  const setpriv = findProgram('setpriv', env['PATH'] ?? '');
  if (setpriv === null) throw refused(runAs, 'there is no program `setpriv` (of util-linux) on this node');
  const [user = '', group] = runAs.split(':');
  const account = await entry('passwd', user, env);
  if (account === null && !isNumber(user)) throw refused(runAs, `this node has no user "${user}"`);
  const uid = Number(account?.[2] ?? user);
  if (uid === 0) throw refused(runAs, `"${user}" is root here`);
  const gid = group === undefined ? Number(account?.[3] ?? user) : await groupId(runAs, group, env);
  const home = account?.[5] ?? '/';
  return { name: runAs, uid, gid, home, setpriv, groups: account === null ? 'none' : 'of-account' };
}

async function groupId(runAs: string, group: string, env: Env): Promise<number> {
  if (isNumber(group)) return Number(group);
  const found = await entry('group', group, env);
  if (found === null) throw refused(runAs, `this node has no group "${group}"`);
  return Number(found[2]);
}

/** An entry of the machine's databases, wherever they come from (files, LDAP); null: there is none. */
async function entry(database: 'passwd' | 'group', key: string, env: Env): Promise<readonly string[] | null> {
  const run = await runCommand('getent', [database, key], { env, timeoutMs: LOOKUP_MS });
  const fields = run.stdout.trim().split(':');
  return run.exitCode === 0 && fields.length >= 4 ? fields : null;
}

function isNumber(text: string): boolean {
  return /^\d+$/.test(text);
}

/** Of the node's own environment a backend of another user gets what says where things are, and nothing that may be a secret. */
const PLAIN_VARIABLES =
  /^(?:PATH|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|(?:CUDA|NVIDIA|OMP|MKL|OPENBLAS)_\w+|SSL_CERT_(?:FILE|DIR)|NODE_EXTRA_CA_CERTS|REQUESTS_CA_BUNDLE|MODELSERVE_(?:BIN|NODE))$/;

/** What the environment of a backend begins with. @param user null: it runs as the node does */
export function baseEnvFor(user: User | null, baseEnv: Env): Env {
  if (user === null) return baseEnv;
  const plain = Object.entries(baseEnv).filter(([name]) => PLAIN_VARIABLES.test(name));
  const name = user.name.split(':')[0] ?? user.name;
  return { ...Object.fromEntries(plain), HOME: user.home, USER: name, LOGNAME: name };
}

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
}

/**
 * The same program as another user: it becomes that user before it runs, keeps the pid, and gets back to root by no
 * set-uid program either.
 */
export function asUser(user: User | null, program: Program): Program {
  if (user === null) return program;
  const { setpriv, uid, gid, groups } = user;
  const switches = [
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups === 'none' ? '--clear-groups' : '--init-groups',
    '--inh-caps=-all',
    '--no-new-privs',
  ];
  return { command: setpriv, args: [...switches, '--', program.command, ...program.args] };
}

export function refused(runAs: string, why: string): PreparationError {
  return new PreparationError('RUN_AS', `run_as = ${runAs}: ${why}`);
}
