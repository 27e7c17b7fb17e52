import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Variables } from '../../config/environment.ts';
import { DOCKER_HUB } from '../../config/image-reference.ts';
import { readIfThere } from '../../lib/files.ts';
import { askCredentialHelper, type HelperAnswer, type RegistryCredentials } from './credential-helper.ts';

export interface CredentialSearch {
  /** null: requests are made as nobody */
  readonly credentials: RegistryCredentials | null;
  /** where they are from, or where there are none and why, for messages */
  readonly origin: string;
}

/**
 * What `docker login` has written down for a registry: in the file `KSERVE_OCI_DOCKER_CONFIG` names, else in
 * `config.json` of `DOCKER_CONFIG`, else in `~/.docker/config.json`; or what the program says that this names for the registry.
 * A file that cannot be read, or a program that fails, counts as one without an entry: images that anybody may have need none.
 */
export async function registryCredentials(registry: string, variables: Variables): Promise<CredentialSearch> {
  const path = await configPath(variables);
  const text = await readIfThere(path).catch(() => null);
  if (text === null) return { credentials: null, origin: `no credentials were found: there is no ${path}` };
  const config = jsonIn(text);
  if (config === null) return { credentials: null, origin: `no credentials were found: ${path} is no JSON` };
  const helper = helperIn(config, registry);
  const answer = helper === null ? null : await askCredentialHelper(helper, serverOf(registry), variables);
  if (answer?.status === 'found') {
    const origin = `asked with what ${answer.command} says, which ${path} names for ${registry}`;
    return { credentials: answer.credentials, origin };
  }
  const auths = objectIn(config['auths']);
  for (const name of namesOf(registry)) {
    const credentials = credentialsIn(objectIn(auths[name]));
    if (credentials !== null) return { credentials, origin: `asked with what ${path} has for ${name}` };
  }
  const origin = `no credentials were found: ${path} has none for ${registry}${hintOf(answer)}`;
  return { credentials: null, origin };
}

/** The program that keeps passwords of a registry, and is asked before the file. */
function helperIn(config: Readonly<Record<string, unknown>>, registry: string): string | null {
  const own = objectIn(config['credHelpers']);
  const named = namesOf(registry).flatMap((name) => (typeof own[name] === 'string' ? own[name] : []));
  const helper = named[0] ?? config['credsStore'];
  return typeof helper === 'string' && helper !== '' ? helper : null;
}

function hintOf(answer: HelperAnswer | null): string {
  if (answer === null || answer.status === 'found') return '';
  const found = answer.status === 'none' ? 'it has none' : answer.found;
  return ` (asked \`${answer.command}\`: ${found})`;
}

async function configPath(variables: Variables): Promise<string> {
  const own = variables['KSERVE_OCI_DOCKER_CONFIG'];
  // A mounted secret is a folder, or the file itself.
  if (own) return own.endsWith('.json') ? own : join(own, 'config.json');
  const folder = variables['DOCKER_CONFIG'] || join(variables['HOME'] || homedir(), '.docker');
  return join(folder, 'config.json');
}

/** What `docker login` tells a program that keeps passwords. */
function serverOf(registry: string): string {
  return registry === DOCKER_HUB ? 'https://index.docker.io/v1/' : registry;
}

/** Under which names `docker login` and others keep a registry. */
function namesOf(registry: string): readonly string[] {
  const hosts =
    registry === DOCKER_HUB ? ['index.docker.io', 'docker.io', 'registry-1.docker.io'] : [registry];
  return hosts.flatMap((host) => [
    host,
    ...['https://', 'http://'].flatMap((scheme) =>
      ['', '/', '/v1/', '/v2/'].map((end) => `${scheme}${host}${end}`),
    ),
  ]);
}

function credentialsIn(entry: Readonly<Record<string, unknown>>): RegistryCredentials | null {
  const textOf = (name: string): string => (typeof entry[name] === 'string' ? entry[name] : '');
  const [, named = '', secret = ''] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(textOf('auth'), 'base64').toString('utf8')) ?? [];
  const [user, password] = [named || textOf('username'), secret || textOf('password')];
  const identityToken = textOf('identitytoken');
  return user === '' && identityToken === '' ? null : { user, password, identityToken };
}

function jsonIn(text: string): Readonly<Record<string, unknown>> | null {
  try {
    return objectIn(JSON.parse(text));
  } catch {
    return null;
  }
}

function objectIn(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
