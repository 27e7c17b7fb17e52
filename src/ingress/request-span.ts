import { FAILURES, type Outcome } from '../cluster/metrics/outcomes.ts';
import type { DeploymentRoute } from '../cluster/routing/types.ts';
import type { RequestTrace } from '../telemetry/request-trace.ts';
import type { Identified } from './request-journal.ts';

/** A request that is over, as its own span tells it. */
export interface SpanEnd extends Identified {
  /** null: its path is no deployment's */
  readonly route: Pick<DeploymentRoute, 'route' | 'deployment'> | null;
  /** when its head was there, of performance.now() */
  readonly startMs: number;
  readonly status: number;
  readonly outcome: Outcome;
  /** of an error that the framework answered; null: it answered none */
  readonly code: string | null;
  readonly retries: number;
}

/** Ends the span of a request, and with it its trace in this ingress. */
export function endSpan(trace: RequestTrace, end: SpanEnd): void {
  const { request, id, path, route, startMs, status, outcome, code, retries } = end;
  const method = request.method ?? '';
  const hasFailed = FAILURES.includes(outcome);
  const error = code ?? outcome;
  trace.end({
    ...{ name: route === null ? method : `${method} /${route.route}`, startMs, endMs: performance.now() },
    error: hasFailed ? error : null,
    attributes: {
      ...{ 'http.request.method': method, 'url.path': path, 'http.response.status_code': status },
      ...(route === null
        ? {}
        : { 'http.route': `/${route.route}`, 'modelserve.deployment': route.deployment }),
      'url.scheme': 'encrypted' in request.socket ? 'https' : 'http',
      'client.address': request.socket.remoteAddress ?? '',
      ...{ 'modelserve.request_id': id, 'modelserve.outcome': outcome, 'modelserve.retries': retries },
      ...(hasFailed ? { 'error.type': error } : {}),
    },
  });
}
