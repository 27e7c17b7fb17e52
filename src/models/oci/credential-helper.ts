import { childEnvironment, type Variables } from '../../config/environment.ts';
import { runCommand } from '../../lib/process/command.ts';
import { findProgram } from '../../lib/process/find-program.ts';

/** A name and password for a registry, or a token that stands for them. */
export interface RegistryCredentials {
  readonly user: string;
  readonly password: string;
  /** given by a token server at `docker login`, for it alone; '' for none */
  readonly identityToken: string;
}

/** What a program that keeps passwords says of a registry. */
export type HelperAnswer =
  | { readonly status: 'found'; readonly credentials: RegistryCredentials; readonly command: string }
  /** it has none for that registry */
  | { readonly status: 'none'; readonly command: string }
  /** it was not there, or did not do what such programs do */
  | { readonly status: 'failed'; readonly command: string; readonly found: string };

const TIMEOUT_MS = 30_000;
/** As Docker's own programs say that they have nothing, with exit code 1. */
const NOTHING = /credentials not found|no credentials server URL/i;
const MAX_WORDS = 200;
/** In place of a user: the secret is a token of a token server. */
const TOKEN_USER = '<token>';

/**
 * Asks `docker-credential-<name> get`, which is told the registry on its standard input.
 * @param server as `docker login` calls the registry
 * @param variables `PATH` says where the program is looked for
 */
export async function askCredentialHelper(
  name: string,
  server: string,
  variables: Variables,
): Promise<HelperAnswer> {
  const command = `docker-credential-${name} get`;
  const fail = (found: string): HelperAnswer => ({ status: 'failed', command, found });
  if (!/^[\w.-]+$/.test(name)) return fail('that is no name of a program');
  const program = findProgram(`docker-credential-${name}`, variables['PATH'] ?? '');
  if (program === null) return fail('there is no such program on the PATH');
  const run = await runCommand(program, ['get'], {
    ...{ timeoutMs: TIMEOUT_MS, input: server, ownSession: true },
    env: { ...childEnvironment(), ...defined(variables) },
  });
  if (run.timedOut) return fail(`nothing in ${TIMEOUT_MS / 1000} s`);
  if (run.exitCode !== 0 && NOTHING.test(run.output)) return { status: 'none', command };
  if (run.exitCode !== 0) return fail(`exit code ${run.exitCode}${wordsOf(run.output)}`);
  const credentials = credentialsIn(run.stdout); // what it prints then is secret, and shown to nobody
  return credentials === null
    ? fail('an answer without Username and Secret')
    : { status: 'found', credentials, command };
}

function credentialsIn(text: string): RegistryCredentials | null {
  try {
    const { Username: user, Secret: secret } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (typeof user !== 'string' || typeof secret !== 'string' || secret === '') return null;
    return user === TOKEN_USER
      ? { user: '', password: '', identityToken: secret }
      : { user, password: secret, identityToken: '' };
  } catch {
    return null;
  }
}

function wordsOf(output: string): string {
  const words = output.replace(/\s+/g, ' ').trim().slice(0, MAX_WORDS);
  return words === '' ? '' : `, ${words}`;
}

function defined(variables: Variables): Record<string, string> {
  const given = Object.entries(variables);
  return Object.fromEntries(given.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
