import { describe, expect, it } from 'vitest';
import {
  childEnvironment,
  defaultStateDir,
  readEnvironment,
  type Variables,
  visibleDevices,
} from '../../src/config/environment.ts';

describe('readEnvironment', () => {
  it('reads what is set', () => {
    const env = {
      MODELSERVE_ADDRESS: 'head:8265',
      MODELSERVE_TOKEN: 't',
      MODELSERVE_STATE_DIR: '/var/lib/modelserve',
      XDG_STATE_HOME: '/state',
      NO_COLOR: '1',
      CI: 'true',
      MODELSERVE_CA: '/etc/ca.pem',
    };
    expect(readEnvironment(env)).toEqual({
      address: 'head:8265',
      token: 't',
      caFile: '/etc/ca.pem',
      stateDir: '/var/lib/modelserve',
      stateHome: '/state',
      hasColor: false,
      isCi: true,
    });
  });

  it('takes an empty variable for none', () => {
    const env = { HOME: '/home/me', MODELSERVE_ADDRESS: '', NO_COLOR: '', CI: '' };
    expect(readEnvironment(env)).toEqual({
      address: null,
      token: null,
      caFile: null,
      stateDir: null,
      stateHome: '/home/me/.local/state',
      hasColor: true,
      isCi: false,
    });
  });
});

it.each<[Variables, 'head' | 'worker', string]>([
  [{ HOME: '/home/me' }, 'head', '/home/me/.local/state/modelserve/head'],
  [{ HOME: '/home/me', XDG_STATE_HOME: '/x' }, 'worker', '/x/modelserve/worker'],
  [{ HOME: '/home/me', XDG_STATE_HOME: 'relative' }, 'head', '/home/me/.local/state/modelserve/head'],
  [{ MODELSERVE_STATE_DIR: '/one' }, 'worker', '/one'],
])('defaultStateDir of %o for a %s is %s', (env, role, folder) => {
  expect(defaultStateDir(role, env)).toBe(folder);
});

it('hands no secret and no GPU of its own to child processes', () => {
  const env = {
    PATH: '/bin',
    MODELSERVE_TOKEN: 't',
    MODELSERVE_X: '',
    CUDA_VISIBLE_DEVICES: '0',
    EMPTY: '',
    NONE: undefined,
  };
  expect(childEnvironment(env)).toEqual({ PATH: '/bin', EMPTY: '' });
});

it.each<[string | undefined, readonly string[] | null]>([
  [undefined, null],
  ['', []],
  ['0', ['0']],
  ['1, GPU-5d1f', ['1', 'GPU-5d1f']],
  ['-1', []],
  ['0,-1,1', ['0']],
])('visibleDevices of %j: %j', (value, devices) => {
  expect(visibleDevices({ CUDA_VISIBLE_DEVICES: value })).toEqual(devices);
});
