import type { ControlRequest, ControlResult } from '../../channel/messages.ts';
import type { ReconfigureOutcome } from '../../cluster/replicas/types.ts';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import { codeOf, messageOf } from '../../lib/errors.ts';
import type { JsonValue } from '../../lib/json.ts';

/** Long enough for a class that loads another model when it is reconfigured. */
const RECONFIGURE_TIMEOUT_MS = 5 * 60 * 1000;
const LIMITS_TIMEOUT_MS = 10_000;

/** What a running process was started with or told since, of what can change in place. */
export interface AppliedSettings {
  /** `hashes.reconfigure` of the user_config it has */
  readonly configHash: string;
  readonly maxOngoing: number;
}

export type Control = (request: ControlRequest, timeoutMs: number) => Promise<ControlResult>;

/** How a replica is told, and what of the spec is only named there. */
export interface Told {
  readonly control: Control;
  /** see NodeValues.configOf */
  readonly configOf: (spec: PinnedSpec) => JsonValue | null;
}

export interface Synced {
  readonly applied: AppliedSettings;
  /** null: there was nothing to reconfigure */
  readonly outcome: ReconfigureOutcome | null;
}

export function settingsOf(spec: PinnedSpec): AppliedSettings {
  return { configHash: spec.hashes.reconfigure, maxOngoing: spec.maxOngoingRequests };
}

/**
 * Brings a running replica to what its spec says now, without touching its process.
 * @throws ChannelError when the replica cannot be reached; it is then asked again once it can
 */
export async function syncSettings(
  applied: AppliedSettings,
  spec: PinnedSpec,
  { control, configOf }: Told,
): Promise<Synced> {
  const { maxOngoingRequests, concurrency } = spec;
  if (applied.maxOngoing !== maxOngoingRequests) {
    await control({ op: 'limits', max_ongoing: maxOngoingRequests, concurrency }, LIMITS_TIMEOUT_MS);
  }
  const outcome =
    applied.configHash === spec.hashes.reconfigure ? null : await reconfigure(spec, { control, configOf });
  return { applied: settingsOf(spec), outcome };
}

async function reconfigure(spec: PinnedSpec, { control, configOf }: Told): Promise<ReconfigureOutcome> {
  const hash = spec.hashes.reconfigure;
  // A class that never had a configuration is another thing than one whose configuration was taken away.
  if (spec.userConfig === null) {
    return {
      hash,
      outcome: 'unsupported',
      error: 'user_config was removed: only a new process is without one',
    };
  }
  try {
    const result = await control({ op: 'reconfigure', config: configOf(spec) }, RECONFIGURE_TIMEOUT_MS);
    if (result.ok) return { hash, outcome: 'applied', error: '' };
    const error = result.error ?? '';
    return { hash, outcome: result.unsupported === true ? 'unsupported' : 'failed', error };
  } catch (error) {
    const isItsOwn = codeOf(error) === 'CHANNEL_TIMEOUT' || codeOf(error)?.startsWith('REFERENCE_');
    if (isItsOwn !== true) throw error;
    return { hash, outcome: 'failed', error: messageOf(error) };
  }
}
