import type { FastifyRequest } from 'fastify';
import { apiKeyOf } from '../config/token.ts';
import { ServeError } from '../lib/errors.ts';
import { bearerKey } from '../lib/hash.ts';
import type { LiveSecrets } from '../lib/live-secrets.ts';
import { LoginAttempts } from './login-attempts.ts';
import { Sessions } from './sessions.ts';
import type { Measurements } from './types.ts';

/** Bearer keys of the admin API. */
export interface AdminKeys {
  /** every call needs one */
  readonly api: LiveSecrets;
  /** of who may look and change nothing */
  readonly viewer: LiveSecrets;
  /** enough for `/metrics` */
  readonly metrics: LiveSecrets;
}

export interface GuardOptions {
  readonly port: number;
  readonly keys: AdminKeys;
  /** nobody changes anything by this API */
  readonly isReadOnly: boolean;
}

/** `operator`: may do everything; `viewer`: may look. */
type Role = 'operator' | 'viewer';

const ROLES = ['operator', 'viewer'] as const satisfies readonly Role[];
const METRICS_PATH = '/metrics';
const LOGIN = 'POST /api/v1/session';
/** What says nothing of the cluster: what there is to call, and the dashboard's files (the one route with a wildcard). */
const PUBLIC_PATHS: ReadonlySet<string> = new Set(['/docs', '/api/v1/openapi.json', '/*', '/']);

/**
 * Who may do what on the admin API: whoever has the cluster's key or a viewer's, as a bearer; or a browser's login with
 * one of them, for what the dashboard's own pages ask.
 */
export class Guard {
  readonly #options: GuardOptions;
  readonly #measurements: Pick<Measurements, 'isOpen'>;
  readonly #attempts = new LoginAttempts();

  constructor(options: GuardOptions, measurements: Pick<Measurements, 'isOpen'>) {
    this.#options = options;
    this.#measurements = measurements;
  }

  /** @throws ServeError TOKEN_REFUSED, ORIGIN_REFUSED, READ_ONLY */
  authorize(request: FastifyRequest): void {
    const path = request.routeOptions.url ?? '';
    if (isReading(request) && isPublic(path, request.url)) return;
    if (`${request.method} ${path}` === LOGIN) {
      requireOwnPage(request);
      return;
    }
    if (path === METRICS_PATH && this.#mayMeasure(request)) return;
    const role = this.#roleOf(request);
    if (request.headers.authorization === undefined && !isReading(request)) requireOwnPage(request);
    if (request.routeOptions.config.changes === true) this.#requireOperator(role);
  }

  /** Whether a caller that was let in may change something, too. */
  mayChange(request: FastifyRequest): boolean {
    return !this.#options.isReadOnly && this.#roleOf(request) === 'operator';
  }

  /**
   * The cookie of a new login.
   * @param token the cluster's, the admin API's key, or a viewer's
   * @throws ServeError TOKEN_REFUSED, LOGIN_LIMIT
   */
  logIn(token: string, { ip, protocol }: Pick<FastifyRequest, 'ip' | 'protocol'>): string {
    const nowMs = Date.now();
    this.#attempts.check(ip, nowMs);
    const role = this.#roleOfKey(apiKeyOf(token.trim()));
    if (role !== null) return this.#sessionsOf(role)[0].open(nowMs, protocol === 'https');
    this.#attempts.count(ip, nowMs);
    throw refused();
  }

  /** The cookie that ends a login. */
  logOut(isSecure: boolean): string {
    return this.#sessionsOf('operator')[0].close(isSecure);
  }

  /** @throws ServeError TOKEN_REFUSED; a wrong key is not made good by a login beside it */
  #roleOf({ headers: { authorization, cookie } }: FastifyRequest): Role {
    const role =
      authorization === undefined
        ? ROLES.find((one) => this.#sessionsOf(one).some((logins) => logins.holds(cookie, Date.now())))
        : this.#roleOfKey(bearerKey(authorization));
    if (role === undefined || role === null) throw refused();
    return role;
  }

  #roleOfKey(key: string): Role | null {
    const { api, viewer } = this.#options.keys;
    const [isOperator, isViewer] = [api.accepts(key), viewer.accepts(key)];
    if (isOperator) return 'operator';
    return isViewer ? 'viewer' : null;
  }

  /** By each key that is accepted; new logins are of the first. */
  #sessionsOf(role: Role): readonly [Sessions, ...Sessions[]] {
    const { keys, port } = this.#options;
    const [first, ...others] = keys[role === 'operator' ? 'api' : 'viewer'].all;
    return [new Sessions(first, port), ...others.map((key) => new Sessions(key, port))];
  }

  /** @throws ServeError READ_ONLY */
  #requireOperator(role: Role): void {
    if (this.#options.isReadOnly) throw readOnly('this head was started with --dashboard-read-only');
    if (role !== 'operator') throw readOnly('a viewer may look and change nothing; use the cluster’s token');
  }

  #mayMeasure({ headers }: FastifyRequest): boolean {
    const { metrics } = this.#options.keys;
    return this.#measurements.isOpen || metrics.accepts(bearerKey(headers.authorization));
  }
}

/** What is no file of the dashboard is not told apart from what one may not see. */
function isPublic(path: string, url: string): boolean {
  return PUBLIC_PATHS.has(path) && (path !== '/*' || !url.startsWith('/api/'));
}

function isReading({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD';
}

/**
 * A browser says where a request comes from; what says nothing, or somewhere else, changes nothing here, and neither does
 * a form, which any page can send.
 * @throws ServeError ORIGIN_REFUSED
 */
function requireOwnPage({ headers }: FastifyRequest): void {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  const isFromHere = origin === undefined ? site === 'same-origin' : hostOf(origin) === host;
  const isForm = !(headers['content-type'] ?? 'application/json').startsWith('application/json');
  if (isFromHere && !isForm && (site === undefined || site === 'same-origin')) return;
  throw new ServeError('a login counts for requests of the dashboard’s own pages only', {
    code: 'ORIGIN_REFUSED',
  });
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}

function refused(): ServeError {
  return new ServeError(
    'the token is missing or not that of this cluster. Give --token, --token-file or MODELSERVE_TOKEN; other clients send `authorization: Bearer KEY` with what `modelserve key` prints.',
    { code: 'TOKEN_REFUSED' },
  );
}

function readOnly(why: string): ServeError {
  return new ServeError(`refused: ${why}`, { code: 'READ_ONLY' });
}
