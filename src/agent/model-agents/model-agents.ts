import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { type ModelAgent, type ModuleAgent, modelAgents } from '../../cluster/spec/agents.ts';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import type { NodeValues } from '../../config/node-values.ts';
import { messageOf, ServeError } from '../../lib/errors.ts';
import { hashOf } from '../../lib/hash.ts';
import type { Log } from '../../lib/log.ts';
import type { Progress } from '../../lib/shared-work.ts';
import { viewKey } from '../content/model-view.ts';
import { PreparationError } from '../environments/preparation-error.ts';
import { callModule, type ModelAction, type ModuleRunner } from './call-module.ts';
import { verifyChecksums } from './checksum.ts';

export interface ModelAgentsOptions extends ModuleRunner {
  /** StatePaths.views: agents write beside the view of the models they are for */
  readonly viewsDir: string;
  readonly env: Readonly<Record<string, string>>;
  /** what conf.ini only names */
  readonly values: Pick<NodeValues, 'environmentOf'>;
}

/** What is told of a replica. */
export interface ReplicaNews {
  readonly replicaId: string;
  readonly action: Exclude<ModelAction, 'load'>;
  /** the model folder that it has */
  readonly location: string;
}

/** How long an agent may take for what nobody waits for. */
const TELL_TIMEOUT_MS = 60_000;

/** Runs the agents that a deployment names around the life of its models on this node. */
export class ModelAgents {
  readonly #options: ModelAgentsOptions;
  readonly #log: Log;
  /** by replica: what it was told last, so that news come in order */
  readonly #told = new Map<string, Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(options: ModelAgentsOptions, log: Log) {
    this.#options = options;
    this.#log = log;
  }

  /**
   * Has every agent look at models that are on this node now, one after the other.
   * @param spec with this node's own paths
   * @returns the spec with the model folder that the agents have made of it
   * @throws PreparationError with an agent's words: the models are not to be loaded
   */
  async load(spec: PinnedSpec, { onProgress, signal }: Progress): Promise<PinnedSpec> {
    let location = spec.modelRoot;
    for (const agent of modelAgents(spec.agents)) {
      onProgress(`agent ${agent.name} looks at the models`);
      if (agent.kind === 'checksum') await verified(location, agent);
      else location = await this.#loadWith(agent, { ...spec, modelRoot: location }, signal);
    }
    return location === spec.modelRoot ? spec : { ...spec, modelRoot: location };
  }

  /** Tells the agents what has become of a replica. Nobody waits for them; what fails is logged. */
  tell(spec: PinnedSpec, news: ReplicaNews): void {
    const modules = modelAgents(spec.agents).filter((agent) => agent.kind === 'module');
    if (modules.length === 0) return;
    const before = this.#told.get(news.replicaId) ?? Promise.resolve();
    const telling = before.then(async () => {
      for (const agent of modules) await this.#tellOne(agent, spec, news);
    });
    this.#told.set(news.replicaId, telling);
    void telling.then(() => {
      if (this.#told.get(news.replicaId) === telling) this.#told.delete(news.replicaId);
    });
  }

  /** Waits for those who are being told. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all(this.#told.values());
    this.#stopping.abort();
  }

  async #loadWith(agent: ModuleAgent, spec: PinnedSpec, signal: AbortSignal): Promise<string> {
    const workDir = join(this.#options.viewsDir, viewKey(spec.modelPins), 'agents', agentKey(agent, spec));
    await mkdir(workDir, { recursive: true });
    const timeoutMs = spec.startupTimeoutMs;
    const result = await this.#call(agent, spec, { action: 'load', workDir }, { timeoutMs, signal });
    return locationIn(result, spec, agent);
  }

  async #tellOne(
    agent: ModuleAgent,
    spec: PinnedSpec,
    { action, location, replicaId }: ReplicaNews,
  ): Promise<void> {
    const limits = { timeoutMs: TELL_TIMEOUT_MS, signal: this.#stopping.signal };
    try {
      await this.#call(agent, { ...spec, modelRoot: location }, { action, replica: replicaId }, limits);
    } catch (error) {
      const { name } = agent;
      this.#log.warn(
        { deployment: spec.name, agent: name, action, error: messageOf(error) },
        'an agent failed',
      );
    }
  }

  async #call(
    agent: ModuleAgent,
    spec: PinnedSpec,
    what: { readonly action: ModelAction } & Readonly<Record<string, unknown>>,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<unknown> {
    const packageDir = join(spec.package.snapshotDir, 'algopkg', spec.packageName);
    const call = {
      ...{ ...what, deployment: spec.name, location: spec.modelRoot, parameters: agent.parameters },
      model: spec.modelPins.map(({ name }) => name),
    };
    return await callModule(
      {
        label: `agent ${agent.name} (${agent.module})`,
        module: join(packageDir, agent.module),
        ...{
          call,
          timeoutMs,
          cwd: packageDir,
          env: { ...this.#options.env, ...this.#options.values.environmentOf(spec) },
        },
      },
      this.#options,
      signal,
    );
  }
}

async function verified(location: string, agent: ModelAgent & { readonly kind: 'checksum' }): Promise<void> {
  try {
    await verifyChecksums(location, agent.checksums);
  } catch (error) {
    if (!(error instanceof ServeError)) throw error;
    throw new PreparationError('AGENT_FAILED', error.message);
  }
}

/** The same agent with the same parameters and code finds what it left there. */
function agentKey(agent: ModuleAgent, spec: PinnedSpec): string {
  return hashOf([agent.name, agent.module, agent.parameters, spec.package.hash]).slice(0, 32);
}

/** @throws PreparationError when it is no folder that has all models */
function locationIn(result: unknown, spec: PinnedSpec, { name }: ModuleAgent): string {
  const given =
    typeof result === 'object' && result !== null && 'location' in result ? result.location : null;
  if (given === null || given === undefined) return spec.modelRoot;
  const refuse = (what: string): PreparationError =>
    new PreparationError('AGENT_FAILED', `agent ${name}: load: it gave a location ${what}`);
  if (typeof given !== 'string' || !isAbsolute(given) || given.includes(',')) {
    throw refuse(`that is no absolute path without commas: ${JSON.stringify(given)}`);
  }
  const missing = spec.modelPins.find((pin) => !existsSync(join(given, pin.name)));
  if (missing !== undefined) throw refuse(`without ${missing.name} in it: ${given}`);
  return given;
}
