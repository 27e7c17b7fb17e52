/** Which image a registry is asked for. */
export interface ImageReference {
  /** host, with its port where one is given; `docker.io` where none is named */
  readonly registry: string;
  /** `library/busybox`, `team/model` */
  readonly repository: string;
  /** `latest` where neither tag nor digest is given; null: named by its digest alone */
  readonly tag: string | null;
  /** `sha256:…`: nothing else will do, whatever the tag says */
  readonly digest: string | null;
}

export type ImageReading =
  | { readonly ok: true; readonly image: ImageReference }
  | { readonly ok: false; readonly hint: string };

/** Where images without a host are. */
export const DOCKER_HUB = 'docker.io';

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const HOST = /^(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(?::\d{1,5})?$/i;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/**
 * Reads a name as `docker pull` does: what has a dot or a port in its first part, or is localhost, names a registry;
 * what names none is on Docker Hub, a single word there in `library/`.
 * @param name without a scheme, such as `user/model:1.0`; never shown whole in a hint, since a password may stand in it
 */
export function readImageReference(name: string): ImageReading {
  const [named = '', digest = null, ...more] = name.split('@');
  if (more.length > 0 || (digest !== null && !DIGEST.test(digest))) {
    return refuse(
      'has an "@" that no digest follows: expected HOST/NAME@sha256: and 64 hex digits; a name or password cannot stand there',
    );
  }
  const { registry, path } = splitHost(named);
  const [repository = '', tag = null, ...rest] = path.split(':');
  const mistake = rest.length > 0 ? `names "${path}" with two tags` : mistakeIn(registry, repository, tag);
  if (mistake !== null) return refuse(mistake);
  const isOfficial = registry === DOCKER_HUB && !repository.includes('/');
  return {
    ok: true,
    image: {
      registry,
      repository: isOfficial ? `library/${repository}` : repository,
      tag: tag ?? (digest === null ? 'latest' : null),
      digest,
    },
  };
}

function splitHost(named: string): { readonly registry: string; readonly path: string } {
  const slash = named.indexOf('/');
  const first = slash < 0 ? '' : named.slice(0, slash);
  const hasHost = /[.:[]/.test(first) || first === 'localhost';
  return hasHost
    ? { registry: hubName(first), path: named.slice(slash + 1) }
    : { registry: DOCKER_HUB, path: named };
}

function mistakeIn(registry: string, repository: string, tag: string | null): string | null {
  if (!HOST.test(registry)) return `names "${registry}", which is no host of a registry`;
  if (!REPOSITORY.test(repository)) {
    return `names "${repository}", which cannot be an image: expected lower-case letters and digits, with ".", "_", "-" and "/" between them`;
  }
  return tag === null || TAG.test(tag) ? null : `names the tag "${tag}", which cannot be one`;
}

/** The whole name of an image, with its host. */
export function imageName({ registry, repository, tag, digest }: ImageReference): string {
  return `${registry}/${repository}${tag === null ? '' : `:${tag}`}${digest === null ? '' : `@${digest}`}`;
}

/** Whether a registry has to be asked although the image is here: `latest` may be another by now. */
export function isAlwaysPulled({ tag, digest }: ImageReference): boolean {
  return digest === null && tag === 'latest';
}

function hubName(host: string): string {
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? DOCKER_HUB : host;
}

function refuse(hint: string): ImageReading {
  return { ok: false, hint };
}
