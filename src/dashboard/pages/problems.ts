import type { DeploymentHealth } from '../../cluster/rollout/types.ts';
import type { RotationPhase } from '../../cluster/rotation/types.ts';
import type { DeploymentStatus, StatusDocument } from '../../cluster/status/types.ts';
import type { Lately } from '../app/lately.ts';
import { percentText } from '../app/words.ts';

/** What is wrong now, and what to do about it. */
export interface Problem {
  readonly tone: 'bad' | 'warn';
  readonly title: string;
  readonly details: string;
  readonly toDo: string;
  /** place in the dashboard that shows more */
  readonly at: readonly string[];
}

/** Of its requests; the alert of Prometheus begins there, too. */
const TOO_MANY_FAIL = 0.05;
/** Fewer failures than these may be an accident. */
const SOME_FAIL = 3;

/**
 * What a person should know first, the worst first.
 * @param traffic what deployments were asked lately
 */
export function problemsOf(cluster: StatusDocument, traffic: readonly Lately[]): readonly Problem[] {
  const asked = new Map(traffic.map((one) => [one.name, one]));
  const problems = [
    ...storeProblems(cluster),
    ...rotationProblems(cluster),
    ...nodeProblems(cluster),
    ...cluster.deployments.flatMap((one) => deploymentProblems(one, asked.get(one.name))),
  ];
  return problems.sort((left, right) => Number(left.tone === 'warn') - Number(right.tone === 'warn'));
}

function storeProblems({ store, leader }: StatusDocument): readonly Problem[] {
  if (!store.ok) {
    return [
      {
        tone: 'bad',
        title: `The store (${store.kind}) does not answer`,
        details: 'What runs goes on and answers; changes wait until the store is back.',
        toDo: 'Start Redis, or mend the way to it. Nothing needs to be restored.',
        at: [],
      },
    ];
  }
  if (leader !== null) return [];
  return [
    {
      tone: 'warn',
      title: 'There is no leader',
      details: 'Nothing new is placed until a head leads.',
      toDo: 'It elects itself within seconds; if not, see whether heads reach the store.',
      at: ['nodes'],
    },
  ];
}

/** Phases that do not turn back by themselves when a node does not follow. */
const GO_ON: readonly RotationPhase[] = ['drop', 'back', 'restore'];

function rotationProblems({ token_rotation: rotation }: StatusDocument): readonly Problem[] {
  if (rotation === null) return [];
  const { phase, reason, waiting_for: waiting } = rotation;
  const toDo = GO_ON.includes(phase)
    ? 'A node that does not follow is waited for as long as it lives: see its agent.log, and start it again or stop it.'
    : 'All go back where a node does not follow in time; modelserve token rotate --cancel goes back at once.';
  return [
    {
      tone: 'warn',
      title: reason === null ? `The token is being replaced: ${phase}` : `The old token comes back: ${phase}`,
      details: [reason ?? '', waiting.length === 0 ? '' : `Waits for ${waiting.join(', ')}.`]
        .filter(Boolean)
        .join('. '),
      toDo,
      at: ['nodes'],
    },
  ];
}

function nodeProblems({ nodes }: StatusDocument): readonly Problem[] {
  const lost = nodes
    .filter(({ alive }) => !alive)
    .map(
      ({ id, hostname }): Problem => ({
        tone: 'bad',
        title: `Node ${id} on ${hostname} does not answer`,
        details: 'Its replicas are started elsewhere where there is room.',
        toDo: 'See whether the machine is up, and start its modelserve process again: what still runs is taken over.',
        at: ['nodes'],
      }),
    );
  const cards = nodes.flatMap(({ id, gpus }) =>
    gpus
      .filter(({ usable }) => !usable)
      .map(
        ({ index, reason }): Problem => ({
          tone: 'warn',
          title: `GPU ${index} of node ${id} is not usable`,
          details: reason ?? '',
          toDo: 'Look at nvidia-smi and dmesg on that node. Nothing new is put on it.',
          at: ['nodes'],
        }),
      ),
  );
  return [...lost, ...cards];
}

const IS: Readonly<Partial<Record<DeploymentHealth, string>>> = {
  PENDING: 'is pending',
  DEGRADED: 'is degraded',
  UNHEALTHY: 'is unhealthy',
  DEPLOY_FAILED: 'could not be changed',
};

/** What to do about each status that is a problem. */
const TO_DO: Readonly<Partial<Record<DeploymentHealth, string>>> = {
  PENDING: 'Ask for less (gpu_cost, replicas), or start a node with room: what waits starts by itself.',
  DEGRADED: 'Requests are answered. The output of the replicas that are not ready says why.',
  UNHEALTHY:
    'Nothing answers. Its output says why; if the newest revision brought it, go back under Configuration, History.',
  DEPLOY_FAILED: 'Its page has the traceback. Or go back under Configuration, History.',
};

function deploymentProblems(deployment: DeploymentStatus, asked: Lately | undefined): readonly Problem[] {
  const { name, status, ready, target } = deployment;
  const at = ['deployment', name];
  const toDo = TO_DO[status];
  if (toDo === undefined) return trafficProblems(asked);
  const isBad = ready === 0 || status === 'DEPLOY_FAILED';
  const title = `${name} ${IS[status]}: ${ready} of ${target} ready`;
  return [{ tone: isBad ? 'bad' : 'warn', title, details: reasonOf(deployment), toDo, at }];
}

function trafficProblems(asked: Lately | undefined): readonly Problem[] {
  if (asked === undefined) return [];
  const { name, requests, failures } = asked;
  const share = failures / requests;
  if (failures < SOME_FAIL || share < TOO_MANY_FAIL) return [];
  return [
    {
      tone: 'warn',
      title: `Requests for ${name} fail`,
      details: `${percentText(share)} of those of the last minute.`,
      toDo: 'Its page has the errors by kind, and its output.',
      at: ['deployment', name],
    },
  ];
}

/** Its message without how many are ready, which is said beside it. */
export function reasonOf({ message, ready, target }: DeploymentStatus): string {
  const counted = `${ready} of ${target} ready`;
  const reason = message.startsWith(counted) ? message.slice(counted.length).replace(/^; /, '') : message;
  return reason.charAt(0).toUpperCase() + reason.slice(1);
}
