import type { ComponentChildren } from 'preact';
import type { ReplicaPhase } from '../../cluster/replicas/types.ts';
import type { DeploymentHealth } from '../../cluster/rollout/types.ts';

export type Tone = 'good' | 'warn' | 'bad' | 'busy' | '';

const OF_HEALTH: Readonly<Record<DeploymentHealth, Tone>> = {
  HEALTHY: 'good',
  PENDING: 'warn',
  UPDATING: 'busy',
  DEGRADED: 'warn',
  UNHEALTHY: 'bad',
  DEPLOY_FAILED: 'bad',
  STOPPING: 'busy',
};

const OF_PHASE: Readonly<Record<ReplicaPhase, Tone>> = {
  pending: 'warn',
  preparing: 'busy',
  starting: 'busy',
  ready: 'good',
  suspect: 'warn',
  draining: 'busy',
  failed: 'bad',
  stopped: '',
};

export function toneOf(health: DeploymentHealth): Tone {
  return OF_HEALTH[health];
}

/** What is what at a glance; the colour only repeats what the word says. */
export function Badge({ tone, children }: { readonly tone: Tone; readonly children: ComponentChildren }) {
  return <span class={`badge ${tone} ${tone === 'busy' ? 'moving' : ''}`}>{children}</span>;
}

export function HealthBadge({ health }: { readonly health: DeploymentHealth }) {
  return <Badge tone={toneOf(health)}>{health.toLowerCase().replaceAll('_', ' ')}</Badge>;
}

export function PhaseBadge({ phase }: { readonly phase: ReplicaPhase }) {
  return <Badge tone={OF_PHASE[phase]}>{phase}</Badge>;
}
