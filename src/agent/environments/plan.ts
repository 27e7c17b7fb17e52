import type { OnProgress } from '../../lib/shared-work.ts';

export type Env = Readonly<Record<string, string>>;

/** The package that an environment is for, in its snapshot. */
export interface PackageInPlace {
  readonly packageName: string;
  readonly packageDir: string;
  readonly packageHash: string;
}

/** One environment of one kind, found out and not made yet. */
export interface EnvironmentPlan<Entry> {
  /** first part of its folder's name */
  readonly kind: 'venv' | 'conda' | 'npm' | 'conda-named' | 'system' | 'path';
  /** for people: `venv (requirements.txt, Python 3.11.7, uv)` */
  readonly description: string;
  /** null: it is there, and nothing is built */
  readonly build: EnvironmentBuild | null;
  /**
   * How to run something in it.
   * @param dir what was built; '' where nothing is
   */
  readonly enter: (dir: string) => Promise<Entry>;
}

export interface EnvironmentBuild {
  /** what decides about its content, and nothing else: environments with equal inputs are one */
  readonly inputs: object;
  /** fills the empty folder; see BuildRequest.build */
  readonly fill: (dir: string, say: OnProgress, signal: AbortSignal) => Promise<void>;
}

/** How to run a Python backend. */
export interface PythonEntry {
  readonly python: string;
  /** added to the environment variables of what runs in it */
  readonly env: Env;
}
