/** What a deployment's `environment` asks for, taken apart. */
export type EnvironmentWish =
  | { readonly kind: 'venv' | 'conda' | 'system' | 'npm' }
  | { readonly kind: 'conda-named'; readonly name: string }
  | { readonly kind: 'path'; readonly python: string };

/** The files of a package that say what it depends on: names, null where there is none. */
export interface DependencyFiles {
  /** `environment.yml` or `environment.yaml` */
  readonly conda: string | null;
  /** `requirements.txt`, else a `pyproject.toml` that lists dependencies */
  readonly python: 'requirements.txt' | 'pyproject.toml' | null;
  /** the lock file, else a `package.json` that lists dependencies */
  readonly npm: NpmFile | null;
}

export type NpmFile =
  | 'package-lock.json'
  | 'npm-shrinkwrap.json'
  | 'pnpm-lock.yaml'
  | 'yarn.lock'
  | 'package.json';

/** What a deployment's backend runs in: a wish, or the default, with the file that its content comes from. */
export type EnvironmentChoice =
  | { readonly kind: 'venv'; readonly file: DependencyFiles['python'] }
  | { readonly kind: 'conda'; readonly file: string }
  | { readonly kind: 'conda-named'; readonly name: string }
  | { readonly kind: 'system' }
  | { readonly kind: 'path'; readonly python: string }
  | { readonly kind: 'npm'; readonly file: NpmFile | null };

/** What a node has of what environments are made of, as far as plans need it; found without running much. */
export interface NodeSoftware {
  /** version of the `python3` found first, null where there is none */
  readonly python: string | null;
  /** minor versions that `python = X.Y` finds, `3.9` */
  readonly pythons: readonly string[];
  readonly condaEnvironments: readonly string[];
  /** of uv, conda, mamba, micromamba, pnpm, yarn: those it has */
  readonly tools: readonly string[];
}
