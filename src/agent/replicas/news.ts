import type { ReplicaEvent, ReplicaState } from '../../cluster/replicas/state.ts';
import type { ReplicaNews } from '../model-agents/model-agents.ts';

/** What an event means for the models of a replica. @returns null for nothing */
export function actionOf(event: ReplicaEvent, before: ReplicaState['phase']): ReplicaNews['action'] | null {
  switch (event.type) {
    case 'became-ready':
      return 'load_complete';
    case 'preparation-failed':
      return 'load_fail';
    case 'drain-requested':
      return before === 'ready' || before === 'suspect' ? 'unload' : null;
    case 'exited':
      return before === 'starting' ? 'load_fail' : 'unload_complete';
    default:
      return null;
  }
}
