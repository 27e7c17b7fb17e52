import { expect, test } from 'vitest';
import { type EligibleNode, settleEnvironment } from '../../../src/cluster/environments/settle.ts';
import type { DependencyFiles, NodeSoftware } from '../../../src/cluster/environments/types.ts';
import type { DeploymentSpec } from '../../../src/cluster/spec/types.ts';
import { pinnedSpec } from '../builders.ts';

const NONE: DependencyFiles = { conda: null, python: null, npm: null };
const VENV: DependencyFiles = { ...NONE, python: 'requirements.txt' };

function node(nodeId: string, over: Partial<NodeSoftware> = {}): EligibleNode {
  return {
    nodeId,
    software: { python: '3.11.7', pythons: ['3.9', '3.11'], condaEnvironments: [], tools: [], ...over },
  };
}

function spec(over: Partial<DeploymentSpec> = {}): DeploymentSpec {
  return pinnedSpec({ packageName: 'Echo', ...over });
}

test('files decide, and the nodes say with what', () => {
  expect(settleEnvironment(spec(), VENV, [node('a', { tools: ['uv'] })])).toEqual({
    ok: true,
    environment: null,
    description: 'venv (requirements.txt, Python 3.11, uv)',
    warning: '',
  });
  expect(settleEnvironment(spec({ python: '3.9' }), NONE, [node('a'), node('b')])).toMatchObject({
    description: 'system (Python 3.9)',
  });
});

test('a conda environment with the package’s name is the default where all nodes have it', () => {
  const conda = { condaEnvironments: ['Echo'] };
  expect(settleEnvironment(spec(), NONE, [node('a', conda), node('b', conda)])).toMatchObject({
    environment: 'conda:Echo',
    description: 'conda:Echo',
  });
  expect(settleEnvironment(spec(), VENV, [node('a', conda)])).toMatchObject({ environment: null });
  expect(settleEnvironment(spec({ python: '3.9' }), NONE, [node('a', conda)])).toMatchObject({
    environment: null,
  });
  const asked = spec({ environment: 'system' });
  expect(settleEnvironment(asked, NONE, [node('a', conda), node('b')])).toMatchObject({ ok: true });
});

test.each([
  [
    'a default that some have',
    {},
    NONE,
    { condaEnvironments: ['Echo'] },
    /^a conda environment Echo on every node; none on b; other nodes have it, .*make it on b, or set environment = system$/,
  ],
  [
    'a name that one lacks',
    { environment: 'conda:x' },
    NONE,
    { condaEnvironments: ['x'] },
    /^a conda environment x on every node; none on b; make it there: conda create -n x/,
  ],
  [
    'a Python that one lacks',
    { python: '3.8' },
    VENV,
    { pythons: ['3.8'] },
    /^Python 3.8 on every node; none on b \(there is 3.9, 3.11\); install it there$/,
  ],
  [
    'conda where it is not',
    { environment: 'conda' },
    NONE,
    { tools: ['micromamba'] },
    /^conda, mamba or micromamba for environment.yml; none on b;/,
  ],
  ['a Python that none has', { python: '3.13' }, NONE, {}, /^Python 3.13 on every node; none on any node/],
] as const)('%s is a mistake that names the nodes', (...[, over, files, has, message]) => {
  const settled = settleEnvironment(spec(over), files, [node('a', has), node('b')]);
  if (settled.ok) throw new Error(`no mistake: ${JSON.stringify(settled)}`);
  expect(`${settled.expected}; ${settled.found}; ${settled.hint}`).toMatch(message);
});

test('a node that does not tell what it has is not held against the others', () => {
  const silent: EligibleNode = { nodeId: 'old', software: null };
  expect(settleEnvironment(spec({ python: '3.8' }), VENV, [silent])).toMatchObject({
    ok: true,
    description: 'venv (requirements.txt, Python 3.8)',
  });
});

test('different default Pythons are worth a warning', () => {
  const nodes = [node('a'), node('b', { python: '3.12.1' })];
  expect(settleEnvironment(spec(), NONE, nodes)).toMatchObject({
    description: 'system',
    warning: "the nodes' python3 differ (a: 3.11.7, b: 3.12.1); set python to have the same everywhere",
  });
  expect(settleEnvironment(spec({ python: '3.9' }), NONE, nodes)).toMatchObject({ warning: '' });
});
