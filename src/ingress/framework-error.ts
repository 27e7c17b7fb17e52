import type { Availability, DeploymentRoute } from '../cluster/routing/types.ts';

export type FrameworkErrorCode =
  | 'BAD_REQUEST'
  | 'BAD_TIMEOUT'
  | 'API_KEY_REFUSED'
  | 'API_KEYS_UNREADABLE'
  | 'RATE_EXCEEDED'
  | 'ROUTE_NOT_FOUND'
  | 'METHOD_NOT_ALLOWED'
  | 'BODY_TOO_LARGE'
  | 'QUEUE_FULL'
  | 'RETRY_BUFFER_FULL'
  | 'REPLICA_FAILED'
  | 'REPLICA_DIED'
  | 'REPLICA_STOPPED'
  | 'BAD_ANSWER'
  | 'NOT_READY'
  | 'DEADLINE';

/** The one place that says which HTTP status a code has. */
const STATUS_OF: Readonly<Record<FrameworkErrorCode, number>> = {
  BAD_REQUEST: 400,
  BAD_TIMEOUT: 400,
  API_KEY_REFUSED: 401,
  API_KEYS_UNREADABLE: 503,
  RATE_EXCEEDED: 429,
  ROUTE_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  BODY_TOO_LARGE: 413,
  QUEUE_FULL: 429,
  RETRY_BUFFER_FULL: 429,
  REPLICA_FAILED: 500,
  REPLICA_DIED: 502,
  REPLICA_STOPPED: 502,
  BAD_ANSWER: 502,
  NOT_READY: 503,
  DEADLINE: 504,
};

/** An answer of the ingress itself: a value, not an exception, since every one is an outcome that callers handle. */
export interface FrameworkError {
  readonly status: number;
  readonly code: string;
  /** what happened and what to do */
  readonly info: string;
  readonly headers: readonly (readonly [string, string])[];
}

function failure(
  code: FrameworkErrorCode,
  info: string,
  headers: readonly (readonly [string, string])[] = [],
): FrameworkError {
  return { status: STATUS_OF[code], code, info, headers };
}

export function badTimeout(found: string): FrameworkError {
  return failure(
    'BAD_TIMEOUT',
    `header x-request-timeout-seconds: expected a number of seconds above 0, found "${found.slice(0, 40)}"`,
  );
}

/** @param isGiven there was one, and it is none of the route's */
export function apiKeyMissing(route: DeploymentRoute, isGiven: boolean): FrameworkError {
  const what = isGiven ? 'the API key is not one of this route' : 'this route needs an API key';
  return failure(
    'API_KEY_REFUSED',
    `/${route.route}: ${what}; send \`authorization: Bearer KEY\` or \`x-api-key: KEY\``,
    [['www-authenticate', 'Bearer']],
  );
}

export function apiKeysUnreadable(route: DeploymentRoute): FrameworkError {
  return failure(
    'API_KEYS_UNREADABLE',
    `/${route.route}: this node cannot read the route's API keys (api_keys in conf.ini), so nobody is let in; its ingress.log says why`,
  );
}

export function rateExceeded(route: DeploymentRoute, name: string, retryAfterS: number): FrameworkError {
  return failure(
    'RATE_EXCEEDED',
    `/${route.route}: the API key "${name}" has had its ${route.apiRatePerS} requests a second (api_rate); try again later`,
    [['retry-after', String(Math.max(1, retryAfterS))]],
  );
}

/** @param routes what there is; more than 50 are counted, not listed */
export function routeNotFound(path: string, routes: readonly string[]): FrameworkError {
  const listed = routes
    .slice(0, 50)
    .map((route) => `/${route}`)
    .join(', ');
  const more = routes.length > 50 ? ` and ${routes.length - 50} more` : '';
  const there = routes.length === 0 ? 'no route is served yet' : `routes: ${listed}${more}`;
  return failure('ROUTE_NOT_FOUND', `no deployment has a route for ${path.slice(0, 200)}; ${there}`);
}

export function methodNotAllowed(method: string, route: DeploymentRoute, allow: string): FrameworkError {
  return failure('METHOD_NOT_ALLOWED', `/${route.route} takes ${allow}, not ${method}`, [['allow', allow]]);
}

export function bodyTooLarge(maxBytes: number): FrameworkError {
  return failure('BODY_TOO_LARGE', `the body is over the limit of ${maxBytes} bytes`);
}

export function queueFull(route: DeploymentRoute): FrameworkError {
  return failure(
    'QUEUE_FULL',
    `no replica of ${route.deployment} is free and ${route.maxQueuedRequests} requests wait already (max_queued_requests); try again later`,
    [['retry-after', '1']],
  );
}

export function retryBufferFull(budgetBytes: number): FrameworkError {
  return failure(
    'RETRY_BUFFER_FULL',
    `bodies of waiting requests fill the ingress' retry buffer of ${budgetBytes} bytes; try again later`,
    [['retry-after', '1']],
  );
}

export function replicaDied(deployment: string, deaths: number): FrameworkError {
  const times = deaths === 1 ? 'a replica' : `${deaths} replicas`;
  return failure(
    'REPLICA_DIED',
    `${times} of ${deployment} died while working on this request; it may be the cause (modelserve logs ${deployment})`,
  );
}

export function replicaDiedWithBody(deployment: string): FrameworkError {
  return failure(
    'REPLICA_DIED',
    `a replica of ${deployment} died while working on this request, whose body is too large to be kept for another try`,
  );
}

/** Its replica was replaced or drained, and it took longer than the grace for that. */
export function replicaStopped(deployment: string): FrameworkError {
  return failure(
    'REPLICA_STOPPED',
    `the replica of ${deployment} that worked on this request had to go and did not finish it within graceful_shutdown_timeout_s; raise that in conf.ini if requests take longer`,
  );
}

/** The replica ended the request without an answer; its code and words, or 504 where it says that time was up. */
export function replicaFailed(code: string, info: string): FrameworkError {
  return {
    status: code === 'DEADLINE' ? STATUS_OF.DEADLINE : STATUS_OF.REPLICA_FAILED,
    code,
    info,
    headers: [],
  };
}

export function badAnswer(deployment: string, what: string): FrameworkError {
  return failure('BAD_ANSWER', `the answer of ${deployment} cannot be sent over HTTP: ${what}`);
}

export function notReady(deployment: string, availability: Availability): FrameworkError {
  const why = 'message' in availability && availability.message !== '' ? `: ${availability.message}` : '';
  return failure('NOT_READY', `${deployment} is ${availability.state}${why}`, [['retry-after', '1']]);
}

export function deadlineOver(deployment: string, timeoutMs: number, phase: string): FrameworkError {
  return failure(
    'DEADLINE',
    `no answer of ${deployment} within ${timeoutMs / 1000} s; the request was ${phase}`,
  );
}
