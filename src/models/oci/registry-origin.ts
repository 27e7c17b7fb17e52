import type { Variables } from '../../config/environment.ts';
import { DOCKER_HUB } from '../../config/image-reference.ts';
import { isLoopback } from '../../lib/loopback.ts';

/**
 * Where to ask, as `https://host:port`. Plain HTTP on this machine alone, and for the registries that
 * `KSERVE_OCI_INSECURE_REGISTRY` names (`true`: for all); with `false` nowhere.
 */
export function registryOrigin(registry: string, variables: Variables): string {
  const host = registry === DOCKER_HUB ? 'registry-1.docker.io' : registry;
  return `${isPlain(registry, variables) ? 'http' : 'https'}://${host}`;
}

function isPlain(registry: string, variables: Variables): boolean {
  const said = (variables['KSERVE_OCI_INSECURE_REGISTRY'] ?? '').trim();
  if (/^(?:false|0)$/i.test(said)) return false;
  if (/^(?:true|1)$/i.test(said)) return true;
  const named = said.split(',').map((one) => one.trim());
  const host = registry.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return isLoopback(host) || named.includes(registry);
}
