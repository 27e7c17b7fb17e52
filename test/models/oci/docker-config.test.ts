import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DOCKER_HUB } from '../../../src/config/image-reference.ts';
import { registryCredentials } from '../../../src/models/oci/docker-config.ts';
import { tempDir } from '../../support/temp-dir.ts';

const REGISTRY = 'registry.example:5000';

/** A config.json, and a program `docker-credential-test` that does what a shell script says. */
function place(config: object, script: string) {
  const dir = tempDir();
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  const program = join(dir, 'docker-credential-test');
  writeFileSync(program, `#!/bin/sh\necho "$1" > ${dir}/verb\ncat > ${dir}/asked\n${script}\n`);
  chmodSync(program, 0o755);
  const variables = { DOCKER_CONFIG: dir, PATH: `${dir}:${process.env['PATH']}` };
  return {
    ask: async (registry = REGISTRY) => await registryCredentials(registry, variables),
    heard: () => ['verb', 'asked'].map((name) => readFileSync(join(dir, name), 'utf8').trim()),
  };
}

const SAYS = `echo '{"ServerURL": "x", "Username": "me", "Secret": "a:b"}'`;
const HERE = { user: 'me', password: 'a:b', identityToken: '' };
const auth = Buffer.from('filed:secret').toString('base64');

describe('programs that keep passwords', () => {
  it.each([
    ['credsStore', { credsStore: 'test' }, REGISTRY, REGISTRY],
    ['credHelpers', { credHelpers: { [REGISTRY]: 'test' }, credsStore: 'other' }, REGISTRY, REGISTRY],
    [
      'credHelpers for Docker Hub',
      { credHelpers: { 'https://index.docker.io/v1/': 'test' } },
      DOCKER_HUB,
      'https://index.docker.io/v1/',
    ],
  ])('are asked where %s names them', async (_name, config, registry, server) => {
    const { ask, heard } = place(config, SAYS);
    expect(await ask(registry)).toEqual({
      credentials: HERE,
      origin: expect.stringMatching(/^asked with what docker-credential-test get says, which .*config\.json/),
    });
    expect(heard()).toEqual(['get', server]);
  });

  it('are asked before the file; what they do not have may be there', async () => {
    const config = { credsStore: 'test', auths: { [REGISTRY]: { auth } } };
    expect((await place(config, SAYS).ask()).credentials).toEqual(HERE);
    const none = place(config, 'echo credentials not found in native keychain; exit 1');
    expect((await none.ask()).credentials).toEqual({ user: 'filed', password: 'secret', identityToken: '' });
  });

  it('may have a token in place of a password', async () => {
    const { ask } = place({ credsStore: 'test' }, `echo '{"Username": "<token>", "Secret": "t"}'`);
    expect((await ask()).credentials).toEqual({ user: '', password: '', identityToken: 't' });
  });

  it('are not asked for other registries', async () => {
    const { ask } = place({ credHelpers: { 'other.example': 'test' } }, SAYS);
    expect((await ask()).origin).toMatch(/config\.json has none for registry\.example:5000$/);
  });

  it.each([
    [{ credsStore: 'test' }, 'echo credentials not found in native keychain; exit 1', /: it has none\)$/],
    [{ credsStore: 'test' }, 'echo locked keychain >&2; exit 3', /: exit code 3, locked keychain\)$/],
    [{ credsStore: 'test' }, 'echo secret', /: an answer without Username and Secret\)$/],
    [{ credsStore: 'gone' }, '', /`docker-credential-gone get`: there is no such program on the PATH\)$/],
    [{ credsStore: '../evil' }, '', /: that is no name of a program\)$/],
  ])('say in messages what was run and what came: %j, %s', async (config, script, expected) => {
    const { credentials, origin } = await place(config, script).ask();
    expect(credentials).toBeNull();
    expect(origin).toMatch(expected);
    expect(origin).not.toContain('secret');
  });
});
