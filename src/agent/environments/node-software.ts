import { join } from 'node:path';
import { settleEnvironment } from '../../cluster/environments/settle.ts';
import type { DependencyFiles, NodeSoftware } from '../../cluster/environments/types.ts';
import type { DeploymentSpec } from '../../cluster/spec/types.ts';
import { findProgram, isProgram } from '../../lib/process/find-program.ts';
import { condaEnvironments, condaTools } from './conda-places.ts';
import { compareVersions, installedMinors } from './installed-interpreters.ts';
import type { Env } from './plan.ts';
import { findInterpreter } from './python-interpreter.ts';

/** Somebody may install something at any time, and then apply what needs it. */
const LOOK_MS = 5_000;
const MINORS = Array.from({ length: 20 }, (_, index) => `3.${index + 6}`);

/** Watches what this node has for environments, so that plans can tell what nodes lack. */
export class SoftwareWatch {
  readonly #env: Env;
  readonly #onChange: () => void;
  #python: string | null = null;
  #software: NodeSoftware | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(env: Env, onChange: () => void) {
    this.#env = env;
    this.#onChange = onChange;
  }

  /** null before the first look. */
  get software(): NodeSoftware | null {
    return this.#software;
  }

  /** Looks once, running one interpreter, then again every few seconds, running none. */
  async start(): Promise<void> {
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    const search = { wanted: null, projectDir: '/', env: this.#env };
    this.#python = await findInterpreter(search).then(
      ({ version }) => version,
      () => null,
    );
    this.#look();
  }

  /** Idempotent. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #look(): void {
    const before = JSON.stringify(this.#software);
    this.#software = lookForSoftware(this.#env, this.#python);
    if (JSON.stringify(this.#software) !== before) this.#onChange();
  }
}

/** What is there by the names of files alone; conda environments first found count, like everywhere. */
export function lookForSoftware(env: Env, python: string | null): NodeSoftware {
  const searchPath = env['PATH'] ?? '';
  // pyenv's shims stand for versions that may not be there.
  const folders = searchPath.split(':').filter((folder) => folder !== '' && !/\/shims\/?$/.test(folder));
  const onPath = MINORS.filter((minor) =>
    folders.some((folder) => isProgram(join(folder, `python${minor}`))),
  );
  const ownTools = ['uv', 'pnpm', 'yarn'].filter((name) => findProgram(name, searchPath) !== null);
  return {
    python,
    pythons: [...new Set([...onPath, ...installedMinors(env)])].sort(compareVersions),
    condaEnvironments: [...condaEnvironments(env).keys()].sort(),
    tools: [...ownTools, ...condaTools(env).map(({ name }) => name)],
  };
}

/**
 * `environment` for a deployment that is to run on this machine alone, as a plan would write it.
 * @returns what was asked for where something is missing: making it says what
 */
export function environmentHere(spec: DeploymentSpec, files: DependencyFiles, env: Env): string | null {
  const software = lookForSoftware(env, null);
  const settled = settleEnvironment(spec, files, [{ nodeId: 'here', software }]);
  return settled.ok ? settled.environment : spec.environment;
}
