import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { adminClient, tokenOf } from '../../src/cli/target.ts';
import { tempDir } from '../support/temp-dir.ts';

let home = '';

beforeEach(() => {
  home = tempDir();
  for (const name of ['MODELSERVE_ADDRESS', 'MODELSERVE_TOKEN', 'MODELSERVE_STATE_DIR']) vi.stubEnv(name, '');
  vi.stubEnv('XDG_STATE_HOME', home);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('the token', () => {
  function tokenFile(name: string, text: string): string {
    const file = join(home, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  }

  it('is the one given, else of the file, else of the environment, else of the local head', async () => {
    mkdirSync(join(home, 'modelserve', 'head'), { recursive: true });
    tokenFile(join('modelserve', 'head', 'token'), 'mst_local\n');
    const file = tokenFile('given', 'mst_file\n');
    expect(await tokenOf({})).toBe('mst_local');
    vi.stubEnv('MODELSERVE_TOKEN', 'mst_environment');
    expect(await tokenOf({})).toBe('mst_environment');
    expect(await tokenOf({ tokenFile: file })).toBe('mst_file');
    expect(await tokenOf({ tokenFile: file, token: 'mst_given' })).toBe('mst_given');
  });

  it('that is nowhere is asked for', async () => {
    await expect(tokenOf({})).rejects.toMatchObject({ data: { exitCode: 4 }, message: /--token-file/ });
    await expect(tokenOf({ tokenFile: join(home, 'none') })).rejects.toMatchObject({ code: 'TOKEN_FILE' });
    await expect(tokenOf({ tokenFile: tokenFile('empty', '\n') })).rejects.toMatchObject({
      code: 'TOKEN_FILE',
    });
  });
});

describe('the address', () => {
  it.each(['http://head:8265', 'head', 'head:port'])('%s is wrong usage', async (address) => {
    const asked = adminClient({ address, token: 'mst_1' });
    await expect(asked).rejects.toMatchObject({ code: 'BAD_USAGE', message: /--address expects HOST:PORT/ });
    vi.stubEnv('MODELSERVE_ADDRESS', address);
    await expect(adminClient({ token: 'mst_1' })).rejects.toMatchObject({ message: /^MODELSERVE_ADDRESS/ });
  });
});
