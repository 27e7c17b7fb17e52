import type {
  AdminBackend,
  ApplyAnswer,
  Mistaken,
  PlanAnswer,
  ReplicaAbout,
  RevisionDesk,
} from '../admin/types.ts';
import type { ModelsDocument, NodeModels } from '../cluster/status/models-document.ts';
import type { ModelFetch, StatusDocument } from '../cluster/status/types.ts';
import { type Finding, renderFinding } from '../config/finding.ts';
import type { ApplyResult, PlanResult } from '../controller/apply-desk.ts';
import type { ControlPlane } from '../controller/control-plane.ts';
import type { RevisionDesk as Revisions } from '../controller/revision-desk.ts';
import { messageOf, ServeError } from '../lib/errors.ts';
import { type NodeCalls, silent } from './node-calls.ts';

export interface AdminBackendOptions {
  /** of this head */
  readonly nodeId: string;
  /** what this head keeps of models */
  readonly models: () => Promise<NodeModels>;
  readonly calls: Pick<NodeCalls, 'node' | 'ask'>;
  /** how long other nodes may take to drain and leave */
  readonly dismissMs: number;
  /** ends this node; called after the answer has been given */
  readonly stopThis: () => void;
}

/** The controller as the admin API wants it: findings as text, `stop` as one call. */
export function adminBackend(plane: ControlPlane, options: AdminBackendOptions): AdminBackend {
  const leading = (): Promise<ControlPlane> => whileLeading(plane);
  return {
    status: async () => await (await leading()).status(),
    replica: async (id) => replicaAbout((await leading()).replica(id)),
    progress: (asked) => plane.progress(asked),
    events: async (afterId, limit) => await plane.events(afterId, limit),
    fetches: () => plane.fetches,
    models: async (node) => {
      const kept = node === null ? await options.models() : await modelsOn(node, options.calls);
      const fetches = plane.fetches.map((fetch) => fetchStatus(options.nodeId, fetch));
      const wanted = (one: { readonly node: string }): boolean => node === null || one.node === node;
      const preparing = preparingIn(await plane.status()).filter(wanted);
      return { ...kept, fetches: fetches.filter(wanted), preparing };
    },
    plan: async (source, signal) => {
      return planAnswer(await (await leading()).plan(source, signal));
    },
    apply: async (source, signal) => {
      return applyAnswer(await (await leading()).apply(source, signal));
    },
    stopCluster: async () => {
      const left = await plane.dismissNodes(options.dismissMs);
      setImmediate(options.stopThis);
      return { left };
    },
    stopNode: async (nodeId) => {
      await leading();
      if (nodeId === options.nodeId) {
        setImmediate(options.stopThis);
        return { left: [] };
      }
      await answerOf(nodeId, options.calls, { path: '/node/leave', method: 'POST' });
      return { left: await plane.untilLeft(nodeId, options.dismissMs) };
    },
  };
}

async function modelsOn(nodeId: string, calls: AdminBackendOptions['calls']): Promise<NodeModels> {
  return await answerOf<NodeModels>(nodeId, calls, { path: '/node/models', method: 'GET' });
}

/** @throws ServeError NODE_UNKNOWN, NODE_SILENT */
async function answerOf<Answer>(
  nodeId: string,
  calls: AdminBackendOptions['calls'],
  { path, method }: { readonly path: string; readonly method: 'GET' | 'POST' },
): Promise<Answer> {
  const record = calls.node(nodeId);
  try {
    return await calls.ask<Answer>(record, path, method);
  } catch (cause) {
    throw silent(nodeId, messageOf(cause));
  }
}

function replicaAbout({ detail, assignment }: ReturnType<ControlPlane['replica']>): ReplicaAbout {
  const { deployment, spec } = assignment;
  return {
    ...detail,
    deployment,
    package: { name: spec.packageName, hash: spec.package.hash },
    ...{ backend: spec.backend, python: spec.python, environment: spec.environment },
    variables: Object.keys(spec.env),
    models: spec.modelPins.map(({ name, sizeBytes, sha256 }) => ({ name, size_bytes: sizeBytes, sha256 })),
  };
}

function fetchStatus(
  node: string,
  { model, fetchedBytes, totalBytes, bytesPerSecond }: ModelFetch,
): ModelsDocument['fetches'][number] {
  const leftS = totalBytes === null ? Number.NaN : (totalBytes - fetchedBytes) / bytesPerSecond;
  return {
    ...{
      node,
      model,
      fetched_bytes: fetchedBytes,
      total_bytes: totalBytes,
      bytes_per_second: bytesPerSecond,
    },
    seconds_left: Number.isFinite(leftS) ? Math.ceil(leftS) : null,
  };
}

function preparingIn({ deployments }: StatusDocument): ModelsDocument['preparing'] {
  return deployments.flatMap(({ name, replicas }) =>
    replicas
      .filter(({ phase }) => phase === 'preparing')
      .map(({ node, message }) => ({ node, deployment: name, message })),
  );
}

/** Revisions as the admin API wants them. */
export function revisionDesk(desk: Revisions, plane: ControlPlane): RevisionDesk {
  return {
    list: async () => await desk.list(),
    read: async (number) => await desk.read(number),
    diff: async (from, to) => await desk.diff(from, to),
    validate: async (text) => await desk.validate(text),
    plan: async (edit, signal) => {
      await whileLeading(plane);
      return planAnswer(await desk.plan(edit, signal));
    },
    apply: async (edit, signal) => {
      await whileLeading(plane);
      return applyAnswer(await desk.apply(edit, signal));
    },
  };
}

/** What a head that stands by knows of the cluster is old. @throws ServeError NOT_LEADER */
export async function whileLeading(plane: ControlPlane): Promise<ControlPlane> {
  const other = await plane.otherLeader();
  if (other === null) return plane;
  throw new ServeError(`this head stands by: ${other} leads the cluster. Ask the head there (--address).`, {
    code: 'NOT_LEADER',
  });
}

function planAnswer(result: PlanResult): PlanAnswer | Mistaken {
  return result.ok ? { ...result, warnings: rendered(result.warnings) } : mistaken(result);
}

function applyAnswer(result: ApplyResult): ApplyAnswer | Mistaken {
  return result.ok ? { ok: true, ...result.recorded, warnings: rendered(result.warnings) } : mistaken(result);
}

function mistaken(result: {
  readonly mistakes: readonly Finding[];
  readonly warnings: readonly Finding[];
}): Mistaken {
  return { ok: false, mistakes: rendered(result.mistakes), warnings: rendered(result.warnings) };
}

function rendered(findings: readonly Finding[]): readonly string[] {
  return findings.map(renderFinding);
}
