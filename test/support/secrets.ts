import type { AdminKeys } from '../../src/admin/guard.ts';
import type { ClusterKeys, PathSecrets } from '../../src/config/token.ts';
import { LiveSecrets } from '../../src/lib/live-secrets.ts';

/** What an ingress of tests shows and accepts. */
export function pathSecrets(linkKey = 'the link key'): PathSecrets {
  return { linkKeys: [linkKey], metricsKeys: ['metrics key'] };
}

/** Keys of an admin API that follow from one token. */
export function adminKeys({
  apiKey,
  viewerKey,
  metricsKey,
}: Pick<ClusterKeys, 'apiKey' | 'viewerKey' | 'metricsKey'>): AdminKeys {
  return {
    api: new LiveSecrets(apiKey),
    viewer: new LiveSecrets(viewerKey),
    metrics: new LiveSecrets(metricsKey),
  };
}
