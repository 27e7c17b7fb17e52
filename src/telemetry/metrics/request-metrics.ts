import { countOf } from '../../cluster/metrics/histogram.ts';
import { OUTCOMES } from '../../cluster/metrics/outcomes.ts';
import type { DeploymentSample, IngressSample, ProcessSample } from '../../cluster/metrics/samples.ts';
import { Exposition, type Labels, type Sample } from './exposition.ts';

/** What one ingress says of itself, under `/-/metrics`. */
export function ingressExposition(sample: IngressSample, version: string): string {
  const exposition = new Exposition();
  exposition.gauge('modelserve_build_info', 'The version of modelserve.', [[{ version }, 1]]);
  exposition.gauge('modelserve_start_time_seconds', 'When this ingress began; its counters are from there.', [
    [{}, sample.startedAtMs / 1000],
  ]);
  addRequests(exposition, sample.deployments);
  exposition.counter(
    'modelserve_unrouted_requests_total',
    'Requests whose path is no deployment’s; answered with 404.',
    [[{}, sample.unrouted]],
  );
  exposition.gauge('modelserve_client_connections', 'Open connections of clients.', [
    [{}, sample.connections],
  ]);
  addProcesses(exposition, labelled(sample.processes, {}));
  return exposition.text;
}

/** Requests by deployment: the same names for one ingress and for the whole cluster. */
export function addRequests(exposition: Exposition, samples: readonly DeploymentSample[]): void {
  const each = (of: (sample: DeploymentSample) => number): readonly Sample[] =>
    samples.map((sample) => [{ deployment: sample.deployment }, of(sample)]);
  exposition.counter(
    'modelserve_requests_total',
    'Requests that are over, by how they ended.',
    samples.flatMap(({ deployment, outcomes }) =>
      OUTCOMES.map((outcome) => [{ deployment, outcome }, outcomes[outcome]] as const),
    ),
  );
  addDurations(exposition, samples);
  addBytes(exposition, samples);
  exposition.counter(
    'modelserve_request_retries_total',
    'Requests given to another replica after one died with them.',
    each((one) => one.retries),
  );
  exposition.counter(
    'modelserve_replica_refusals_total',
    'Requests that a replica had no room for and gave back.',
    each((one) => one.refusals),
  );
  exposition.gauge(
    'modelserve_requests_in_flight',
    'Requests at replicas.',
    each((one) => one.inFlight),
  );
  exposition.gauge(
    'modelserve_requests_queued',
    'Requests that wait for a replica.',
    each((one) => one.queued),
  );
}

/** 256 bytes to 1 GiB, each four times the one before. */
const BYTE_BOUNDS: readonly number[] = Array.from({ length: 12 }, (_, step) => 256 * 4 ** step);

function addBytes(exposition: Exposition, samples: readonly DeploymentSample[]): void {
  const each = (of: 'requestBytes' | 'responseBytes') =>
    samples
      .filter((sample) => sample[of].buckets.length > 0)
      .map((sample) => [{ deployment: sample.deployment }, sample[of]] as const);
  const bounds = BYTE_BOUNDS;
  exposition.sizes(
    { name: 'modelserve_request_bytes', help: 'Bytes of request bodies.', bounds },
    each('requestBytes'),
  );
  exposition.sizes(
    { name: 'modelserve_response_bytes', help: 'Bytes of the bodies that replicas answered with.', bounds },
    each('responseBytes'),
  );
}

function addDurations(exposition: Exposition, samples: readonly DeploymentSample[]): void {
  const each = (of: 'duration' | 'wait' | 'work' | 'own') =>
    samples
      .filter((sample) => countOf(sample[of]) > 0)
      .map((sample) => [{ deployment: sample.deployment }, sample[of]] as const);
  exposition.histogram(
    'modelserve_request_duration_seconds',
    'From the head of a request to the last byte of its answer.',
    each('duration'),
  );
  exposition.histogram(
    'modelserve_request_queue_seconds',
    'How long requests waited for a free replica.',
    each('wait'),
  );
  exposition.histogram(
    'modelserve_request_replica_seconds',
    'From a replica’s getting a request to the last byte of its answer.',
    each('work'),
  );
  exposition.histogram(
    'modelserve_request_ingress_seconds',
    'The rest of the time that requests took: reading them, and passing on their answers.',
    each('own'),
  );
}

/** A process with labels that tell it from others, bounded however often one is started anew. */
export type LabelledProcess = readonly [labels: Labels, sample: ProcessSample];

export function labelled(processes: readonly ProcessSample[], labels: Labels): readonly LabelledProcess[] {
  const counts = new Map<string, number>();
  return processes.map((sample) => {
    const index = counts.get(sample.role) ?? 0;
    counts.set(sample.role, index + 1);
    const name = sample.role === 'ingress-helper' ? `${sample.role}-${index + 1}` : sample.role;
    return [{ ...labels, process: name }, sample] as const;
  });
}

export function addProcesses(exposition: Exposition, processes: readonly LabelledProcess[]): void {
  const each = (of: (sample: ProcessSample) => number): readonly Sample[] =>
    processes.map(([labels, sample]) => [labels, of(sample)]);
  exposition.counter(
    'modelserve_process_cpu_seconds_total',
    'CPU time of a process of modelserve.',
    each((one) => one.cpuS),
  );
  exposition.gauge(
    'modelserve_process_resident_memory_bytes',
    'Memory of a process of modelserve.',
    each((one) => one.residentBytes),
  );
  exposition.counter(
    'modelserve_event_loop_busy_seconds_total',
    'How long the event loop of a process had something to do.',
    each((one) => one.loopBusyS),
  );
  exposition.gauge(
    'modelserve_event_loop_delay_seconds',
    'How late timers of a process were in the last 10 s, at most.',
    each((one) => one.loopDelayS),
  );
}
