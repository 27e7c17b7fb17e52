import type { DeploymentSpec } from '../spec/types.ts';
import { chooseEnvironment, describeEnvironment } from './choose.ts';
import type { DependencyFiles, EnvironmentChoice, NodeSoftware } from './types.ts';

/** A node that a deployment may be placed on. */
export interface EligibleNode {
  readonly nodeId: string;
  /** null: an agent that does not tell; it is not asked */
  readonly software: NodeSoftware | null;
}

export type Settled =
  | {
      readonly ok: true;
      /** what conf.ini would say for the choice that was made; null as long as files alone decide */
      readonly environment: string | null;
      /** for the plan */
      readonly description: string;
      /** what is likely not meant, for a person; '' where there is nothing */
      readonly warning: string;
    }
  | { readonly ok: false; readonly expected: string; readonly found: string; readonly hint: string };

/**
 * Decides what a deployment runs in, the nodes considered: a conda environment named as the package is the default of a
 * Python package without dependency files, if the nodes have it. Nodes that would choose differently, or lack what is
 * asked for, are a mistake.
 */
export function settleEnvironment(
  spec: DeploymentSpec,
  files: DependencyFiles,
  nodes: readonly EligibleNode[],
): Settled {
  const told = nodes.flatMap(({ nodeId, software }) => (software === null ? [] : [{ nodeId, software }]));
  const byFiles = chooseEnvironment(spec.language, spec.environment, files);
  const isOpen = spec.environment === null && byFiles.kind === 'system' && spec.python === null;
  const named = told.some(({ software }) => software.condaEnvironments.includes(spec.packageName));
  const choice: EnvironmentChoice =
    isOpen && named ? { kind: 'conda-named', name: spec.packageName } : byFiles;
  const lacking = told.filter(({ software }) => !has(software, choice, spec.python));
  if (lacking.length > 0) return lack({ choice, spec, isDefault: choice !== byFiles }, lacking, told);
  return {
    ok: true,
    environment: choice === byFiles ? spec.environment : `conda:${spec.packageName}`,
    description: describeEnvironment(choice, detailsOf(choice, spec, told)),
    warning: differingPythons(choice, spec, told),
  };
}

interface ToldNode {
  readonly nodeId: string;
  readonly software: NodeSoftware;
}

function has(software: NodeSoftware, choice: EnvironmentChoice, python: string | null): boolean {
  switch (choice.kind) {
    case 'conda-named':
      return software.condaEnvironments.includes(choice.name);
    case 'conda':
      return CONDA_TOOLS.some((tool) => software.tools.includes(tool));
    case 'npm':
    case 'path':
      return true; // its node says what is missing
    default:
      return python === null || !isVersion(python) || hasPython(software, python);
  }
}

const CONDA_TOOLS = ['conda', 'mamba', 'micromamba'];

function isVersion(python: string): boolean {
  return !python.startsWith('/');
}

/** Patch versions are left to the node itself. */
function hasPython({ python, pythons }: NodeSoftware, wanted: string): boolean {
  const minor = minorOf(wanted);
  const there = python === null ? pythons : [...pythons, minorOf(python)];
  return there.some((version) => version === minor || version.startsWith(`${minor}.`));
}

function minorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

function lack(
  asked: { readonly choice: EnvironmentChoice; readonly spec: DeploymentSpec; readonly isDefault: boolean },
  lacking: readonly ToldNode[],
  all: readonly ToldNode[],
): Settled {
  const { choice, spec, isDefault } = asked;
  const names = lacking.map(({ nodeId }) => nodeId).join(', ');
  const where = lacking.length === all.length ? 'none on any node' : `none on ${names}`;
  if (choice.kind === 'conda-named') {
    const expected = `a conda environment ${choice.name} on every node`;
    const hint = isDefault
      ? `other nodes have it, and a package without dependency files runs in the conda environment of its name: make it on ${names}, or set environment = system`
      : `make it there: conda create -n ${choice.name} …`;
    return { ok: false, expected, found: where, hint };
  }
  if (choice.kind === 'conda') {
    const hint = 'install micromamba or conda there, or set environment = venv with a requirements.txt';
    return { ok: false, expected: `conda, mamba or micromamba for ${choice.file}`, found: where, hint };
  }
  const found = `${where} (there is ${pythonsOf(lacking)})`;
  return { ok: false, expected: `Python ${spec.python} on every node`, found, hint: 'install it there' };
}

function pythonsOf(nodes: readonly ToldNode[]): string {
  const versions = new Set(nodes.flatMap(({ software }) => software.pythons));
  return versions.size === 0 ? 'no Python' : [...versions].join(', ');
}

function detailsOf(
  choice: EnvironmentChoice,
  spec: DeploymentSpec,
  nodes: readonly ToldNode[],
): readonly string[] {
  if (choice.kind !== 'venv' && choice.kind !== 'system') return [];
  const versions = new Set(nodes.map(({ software }) => minorOf(software.python ?? 'none')));
  const [only] = versions;
  const version = spec.python ?? (versions.size === 1 && only !== 'none' ? only : null);
  const python = version == null ? [] : [isVersion(version) ? `Python ${version}` : version];
  const uv = nodes.filter(({ software }) => software.tools.includes('uv')).length;
  const tool = choice.kind === 'venv' && uv > 0 && uv === nodes.length ? ['uv'] : [];
  return [...python, ...tool];
}

/** The same package on two Pythons is rarely meant, and may be right. */
function differingPythons(
  choice: EnvironmentChoice,
  spec: DeploymentSpec,
  nodes: readonly ToldNode[],
): string {
  if (spec.python !== null || (choice.kind !== 'venv' && choice.kind !== 'system')) return '';
  const versions = new Set(nodes.map(({ software }) => minorOf(software.python ?? 'none')));
  if (versions.size < 2) return '';
  const list = nodes.map(({ nodeId, software }) => `${nodeId}: ${software.python ?? 'none'}`).join(', ');
  return `the nodes' python3 differ (${list}); set python to have the same everywhere`;
}
