import type { DeploymentStatus, StatusDocument } from '../../cluster/status/types.ts';

/** What is wrong now, and what to do about it. */
export interface Problem {
  readonly tone: 'bad' | 'warn';
  readonly title: string;
  readonly details: string;
  /** place in the dashboard that shows more */
  readonly at: readonly string[];
}

/** What a person should know first, the worst first. */
export function problemsOf(cluster: StatusDocument): readonly Problem[] {
  const problems = [
    ...storeProblems(cluster),
    ...nodeProblems(cluster),
    ...cluster.deployments.flatMap(deploymentProblems),
  ];
  return problems.sort((left, right) => Number(left.tone === 'warn') - Number(right.tone === 'warn'));
}

function storeProblems({ store, leader }: StatusDocument): readonly Problem[] {
  if (!store.ok) {
    const details = 'What runs goes on and answers; changes wait until the store is back.';
    return [{ tone: 'bad', title: `The store (${store.kind}) does not answer`, details, at: [] }];
  }
  if (leader !== null) return [];
  return [
    {
      tone: 'warn',
      title: 'There is no leader',
      details: 'Nothing new is placed until a head leads.',
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
        details:
          'Its replicas are started elsewhere where there is room. Look whether the machine and its modelserve process run.',
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
          at: ['nodes'],
        }),
      ),
  );
  return [...lost, ...cards];
}

function deploymentProblems(deployment: DeploymentStatus): readonly Problem[] {
  const { name, status, message, ready, target } = deployment;
  if (status === 'HEALTHY' || status === 'UPDATING' || status === 'STOPPING') return [];
  const isBad = ready === 0 || status === 'DEPLOY_FAILED';
  const words = status.toLowerCase().replaceAll('_', ' ');
  return [
    {
      tone: isBad ? 'bad' : 'warn',
      title: `${name} is ${words}: ${ready} of ${target} ready`,
      details: message,
      at: ['deployment', name],
    },
  ];
}
