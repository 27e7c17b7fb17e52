/** `agent.checksum.MD5:dir/file = hex`. */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** below the model folder */
  readonly path: string;
  /** lower case */
  readonly expected: string;
}

export interface ChecksumAgent {
  readonly kind: 'checksum';
  readonly name: string;
  readonly checksums: readonly Checksum[];
}

/** `agent.NAME = module`, `agent.NAME.key = value`. */
export interface ModuleAgent {
  readonly kind: 'module';
  readonly name: string;
  /** below the package's folder */
  readonly module: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** What looks at a deployment's models before, while and after replicas have them, in the order of conf.ini. */
export type ModelAgent = ChecksumAgent | ModuleAgent;

/** With the length of their values in hex. */
export const CHECKSUM_LENGTHS = { MD5: 32, SHA1: 40, SHA256: 64, SHA512: 128 } as const;
export type ChecksumAlgorithm = keyof typeof CHECKSUM_LENGTHS;

/** Its name in conf.ini; every other agent is a module. */
export const CHECKSUM_AGENT = 'checksum';

/** The agents that the keys of a deployment name; keys are without `agent.` and have been checked. */
export function modelAgents(keys: Readonly<Record<string, string>> | undefined): readonly ModelAgent[] {
  const groups = new Map<string, [key: string, value: string][]>();
  for (const [key, value] of Object.entries(keys ?? {})) {
    const { name, rest } = splitAgentKey(key);
    groups.set(name, [...(groups.get(name) ?? []), [rest, value]]);
  }
  return [...groups].map(([name, entries]) => {
    if (name !== CHECKSUM_AGENT) {
      const { '': module = '', ...parameters } = Object.fromEntries(entries);
      return { kind: 'module', name, module, parameters };
    }
    return { kind: 'checksum', name, checksums: entries.flatMap(([key, value]) => checksumOf(key, value)) };
  });
}

/** `NAME.rest`: without a rest it names the module. */
export function splitAgentKey(key: string): { readonly name: string; readonly rest: string } {
  const dot = key.indexOf('.');
  return dot < 0 ? { name: key, rest: '' } : { name: key.slice(0, dot), rest: key.slice(dot + 1) };
}

/** @returns the parts of `MD5:dir/file`; null for what has no colon in it */
export function splitChecksumKey(key: string): { readonly algorithm: string; readonly path: string } | null {
  const colon = key.indexOf(':');
  if (colon < 0) return null;
  return { algorithm: key.slice(0, colon).toUpperCase(), path: key.slice(colon + 1) };
}

export function isChecksumAlgorithm(name: string): name is ChecksumAlgorithm {
  return Object.hasOwn(CHECKSUM_LENGTHS, name);
}

function checksumOf(key: string, value: string): readonly Checksum[] {
  const parts = splitChecksumKey(key);
  if (parts === null || !isChecksumAlgorithm(parts.algorithm)) return [];
  return [{ algorithm: parts.algorithm, path: parts.path, expected: value.toLowerCase() }];
}
