import type { ReconfigureOutcome } from '../../../src/cluster/replicas/types.ts';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';

/** How the code of a simulated package behaves: part of its `replace` hash, so that it never changes its mind. */
export type Behaviour = 'works' | 'raises' | 'falls' | 'unprepared';

/** How it takes a config in place: part of the `reconfigure` hash. */
export type ConfigBehaviour = ReconfigureOutcome['outcome'];

export function behaviourOf(spec: PinnedSpec): Behaviour {
  return spec.hashes.replace.split(':')[0] as Behaviour;
}

export function configBehaviourOf(spec: PinnedSpec): Pick<ReconfigureOutcome, 'outcome' | 'error'> {
  const outcome = spec.hashes.reconfigure.split(':')[0] as ConfigBehaviour;
  return { outcome, error: outcome === 'failed' ? 'ValueError: no such threshold' : '' };
}
