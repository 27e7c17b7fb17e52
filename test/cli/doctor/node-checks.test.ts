import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ofStatus, tokenFile } from '../../../src/cli/doctor/node-checks.ts';
import type { StatusDocument } from '../../../src/cluster/status/types.ts';
import { tempDir } from '../../support/temp-dir.ts';

const STATUS: StatusDocument = {
  version: 1,
  cluster: 'c1',
  leader: 'n1',
  revision: 3,
  store: { kind: 'redis', ok: true },
  token_rotation: null,
  nodes: [
    {
      ...{ id: 'n1', role: 'head', hostname: 'one', address: '127.0.0.1', http: 'http://127.0.0.1:8000' },
      ...{ alive: true, draining: false, cpus: 2, gpus: [] },
    },
  ],
  deployments: [],
};

it('finds nothing wrong where nothing is', () => {
  expect(ofStatus(STATUS).map(({ state }) => state)).toEqual(['ok', 'ok', 'ok']);
});

it('names what is wrong, each with what to do', () => {
  const [node] = STATUS.nodes;
  const found = ofStatus({
    ...STATUS,
    leader: null,
    store: { kind: 'redis', ok: false },
    nodes: [
      {
        ...(node ?? expect.fail('no node')),
        alive: false,
        gpus: [
          {
            index: 0,
            uuid: 'GPU-1',
            name: 'A',
            virtual: false,
            usable: false,
            reason: 'fell off the bus',
            free: 0,
          },
        ],
      },
    ],
  });
  const wrong = found.filter(({ state }) => state !== 'ok');
  expect(wrong.map(({ check, state }) => `${check}: ${state}`)).toEqual([
    'store: bad',
    'leader: warn',
    'node n1: bad',
    'GPU 0 of n1: warn',
  ]);
  for (const { advice } of wrong) expect(advice).not.toBe('');
});

it.each([
  ['mst_Op__cmvkQWVvFOBWrkOs3rUJCo-lWTor\n', 0o600, 'ok'],
  ['hunter2\n', 0o600, 'warn'],
  ['mst_Op__cmvkQWVvFOBWrkOs3rUJCo-lWTor\n', 0o640, 'bad'],
])('looks whether the token %j can be guessed, or read with mode %o: %s', async (token, mode, state) => {
  const file = join(tempDir(), 'token');
  writeFileSync(file, token);
  chmodSync(file, mode);
  expect(await tokenFile(file)).toMatchObject([{ check: 'token', state }]);
});
