import type { Variables } from '../../config/environment.ts';
import { SourceError } from './types.ts';

/** A proxy that the environment names for a server. */
export interface ProxyServer {
  /** with user and password, where it needs them */
  readonly url: string;
  /** for messages: without them */
  readonly shown: string;
  /** the variable it is from */
  readonly variable: string;
}

/**
 * Which proxy leads to a server: `HTTP_PROXY` or `HTTPS_PROXY` by the server's scheme, else `ALL_PROXY`; none where
 * `NO_PROXY` has the host. All may be lower case.
 * @param environment whose variables they are, for messages
 * @throws SourceError SOURCE_FAILED for what is no address of a proxy
 */
export function proxyFor(
  origin: string,
  variables: Variables,
  environment = 'the environment',
): ProxyServer | null {
  const { protocol, hostname, port } = new URL(origin);
  const name = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const [variable, given] = first([name, 'ALL_PROXY'], variables);
  if (given === '') return null;
  const [, exceptions] = first(['NO_PROXY'], variables);
  const server = {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port || (protocol === 'https:' ? '443' : '80'),
  };
  if (exceptions.split(/[,\s]+/).some((exception) => covers(exception, server))) return null;
  const url = given.includes('://') ? given : `http://${given}`;
  if (!URL.canParse(url) || !/^https?:/.test(url)) {
    throw new SourceError(
      `${variable} in ${environment}: expected the address of a proxy, such as http://proxy.example:3128, found what is none`,
      { code: 'SOURCE_FAILED' },
    );
  }
  return { url, shown: new URL(url).origin, variable };
}

/** An empty variable counts as not set. */
function first(names: readonly string[], variables: Variables): readonly [string, string] {
  for (const name of names.flatMap((one) => [one.toLowerCase(), one])) {
    const value = variables[name];
    if (value) return [name, value.trim()];
  }
  return ['', ''];
}

/** A host covers its subdomains as well, with or without a dot or `*.` in front; a port narrows it. */
function covers(
  exception: string,
  { host, port }: { readonly host: string; readonly port: string },
): boolean {
  if (exception === '*') return true;
  const [, name = '', onlyPort] =
    /^(?:\*?\.)?(\[?[^\]]*?\]?)(?::(\d+))?$/.exec(exception.toLowerCase()) ?? [];
  const bare = name.replace(/^\[|\]$/g, '');
  if (bare === '' || (onlyPort !== undefined && onlyPort !== port)) return false;
  return host === bare || host.endsWith(`.${bare}`);
}
