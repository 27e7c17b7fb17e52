import { type AdmissionRequest, admit } from '../../cluster/placement/admit.ts';
import type { Claim, NodeCapacity } from '../../cluster/placement/types.ts';
import type { ReplicaAssignment } from '../../cluster/replicas/types.ts';
import { reservedMemoryBytes } from '../../cluster/spec/memory.ts';

interface Waiter {
  readonly assignment: ReplicaAssignment;
  readonly onRefused: (reason: string) => void;
  readonly settle: (admitted: boolean) => void;
}

/**
 * What this node has promised, each claim from admission until the process and all its session are gone. Nothing starts
 * without one, so that no GPU is given out twice whatever the cluster believes.
 */
export class Claims {
  readonly #capacity: () => NodeCapacity;
  readonly #held = new Map<string, Claim>();
  readonly #waiters = new Set<Waiter>();

  constructor(capacity: () => NodeCapacity) {
    this.#capacity = capacity;
  }

  get held(): readonly Claim[] {
    return [...this.#held.values()];
  }

  /**
   * Waits, in turn with the others, until the node can hold the replica.
   * @param onRefused told why it has to wait, each time that is judged again
   * @returns false when the signal came first
   */
  admitted(
    assignment: ReplicaAssignment,
    onRefused: (reason: string) => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    return new Promise((resolve) => {
      const giveUp = (): void => waiter.settle(false);
      const waiter: Waiter = {
        assignment,
        onRefused,
        settle: (admitted) => {
          this.#waiters.delete(waiter);
          signal.removeEventListener('abort', giveUp);
          resolve(admitted);
        },
      };
      if (signal.aborted) {
        resolve(false);
        return;
      }
      signal.addEventListener('abort', giveUp);
      this.#waiters.add(waiter);
      this.#judge(waiter);
    });
  }

  /** Writes down what runs already, whether it fits or not: an adopted replica. */
  hold(assignment: ReplicaAssignment): void {
    this.#held.set(assignment.replicaId, claimOf(assignment));
  }

  release(replicaId: string): void {
    if (this.#held.delete(replicaId)) this.recheck();
  }

  /** Something is free, or the capacity changed: judges those that wait, the longest waiting first. */
  recheck(): void {
    for (const waiter of [...this.#waiters]) this.#judge(waiter);
  }

  #judge(waiter: Waiter): void {
    const { assignment } = waiter;
    const verdict = admit(requestOf(assignment), this.held, this.#capacity());
    if (!verdict.ok) {
      waiter.onRefused(verdict.reason);
      return;
    }
    this.hold(assignment);
    waiter.settle(true);
  }
}

function requestOf({ slices, spec }: ReplicaAssignment): AdmissionRequest {
  return { cpuMilli: spec.cpuMilli, memoryBytes: reservedMemoryBytes(spec), gpuMilli: spec.gpuMilli, slices };
}

function claimOf({ replicaId, deployment, slices, spec }: ReplicaAssignment): Claim {
  return { replicaId, deployment, cpuMilli: spec.cpuMilli, memoryBytes: reservedMemoryBytes(spec), slices };
}
