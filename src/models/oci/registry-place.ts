import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Variables } from '../../config/environment.ts';
import { DOCKER_HUB } from '../../config/image-reference.ts';
import { codeOf } from '../../lib/errors.ts';
import { isLoopback } from '../../lib/loopback.ts';

/** Where a registry is, and who vouches for it. */
export interface RegistryPlace {
  /** `https://host:port` */
  readonly origin: string;
  /** PEM, beside the authorities that everybody trusts */
  readonly authorities: readonly string[];
}

/**
 * Where to ask. Plain HTTP only on this machine, and for the registries that `KSERVE_OCI_INSECURE_REGISTRY` names
 * (`true`: for all); never where a certificate authority has been laid down for the host.
 */
export async function registryPlace(registry: string, variables: Variables): Promise<RegistryPlace> {
  const host = registry === DOCKER_HUB ? 'registry-1.docker.io' : registry;
  const authorities = await authoritiesOf(registry, variables);
  const isPlain = authorities.length === 0 && mayBePlain(registry, variables);
  return { origin: `${isPlain ? 'http' : 'https'}://${host}`, authorities };
}

function mayBePlain(registry: string, variables: Variables): boolean {
  const named = (variables['KSERVE_OCI_INSECURE_REGISTRY'] ?? '').split(',').map((one) => one.trim());
  const host = registry.replace(/:\d+$/, '');
  return (
    isLoopback(host.replace(/^\[|\]$/g, '')) ||
    named.includes(registry) ||
    /^(?:true|1)$/i.test(named[0] ?? '')
  );
}

/** Where Docker and podman look for the authorities of a registry: `*.crt` in a folder that is called like it. */
async function authoritiesOf(registry: string, variables: Variables): Promise<readonly string[]> {
  const home = variables['HOME'] || homedir();
  const folders = [
    '/etc/docker/certs.d',
    '/etc/containers/certs.d',
    join(home, '.config/containers/certs.d'),
  ];
  const found = await Promise.all(folders.map((folder) => certificatesIn(join(folder, registry))));
  return found.flat();
}

async function certificatesIn(folder: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.crt'));
    return await Promise.all(names.map(async (name) => await readFile(join(folder, name), 'utf8')));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(codeOf(error) ?? '')) return [];
    throw error;
  }
}
