import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileCredentials, providedCredentials } from '../../src/connector/credentials.ts';
import { tempDir } from '../support/temp-dir.ts';

const PAST = '2024-08-02T15:04:05Z';
const FUTURE = '2199-01-01T00:00:00Z';

function fileOf(content: string): { readonly path: string; write(next: string): void } {
  const path = join(tempDir(), 'credentials');
  const write = (next: string): void => {
    writeFileSync(`${path}.new`, next);
    renameSync(`${path}.new`, path);
  };
  write(content);
  return { path, write };
}

function json(id: string, expiration?: string): string {
  return JSON.stringify({ AccessKeyId: id, AccessKeySecret: 's', Expiration: expiration });
}

describe('fileCredentials', () => {
  it('reads the file again when it has changed', async () => {
    const { path, write } = fileOf(json('one'));
    const credentials = fileCredentials(path);
    expect(await credentials.current()).toEqual({ id: 'one', secret: 's', sessionToken: null });
    expect(await credentials.renew()).toBe(false);
    write('{"AccessKeyId": "two", "AccessKeySecret": "s", "SecurityToken": "t"}');
    expect(await credentials.renew()).toBe(true);
    expect(await credentials.current()).toEqual({ id: 'two', secret: 's', sessionToken: 't' });
  });

  it('waits for a file whose credentials have expired', async () => {
    const { path, write } = fileOf(json('old', PAST));
    const current = fileCredentials(path, 60_000).current();
    write(json('new', FUTURE));
    expect((await current).id).toBe('new');
  });

  it.each([
    [
      json('old', PAST),
      `: the credentials expired at 2024-08-02T15:04:05.000Z; write new ones before they do`,
    ],
    ['{"AccessKeyId": "a"}', ': AccessKeySecret: expected a text, found none'],
    ['{"AccessKeySecret": "a"}', ': AccessKeyId: expected a text, found none'],
    ['[]', ': AccessKeyId: expected a text, found none'],
    [json('a', 'soon'), ': Expiration: expected a time such as 2024-08-02T15:04:05Z, found "soon"'],
    ['{"AccessKeyId": "a",\n}', ':2:1: expected a key in double quotes; credentials are a JSON object'],
  ])('refuses %s', async (content, message) => {
    const { path } = fileOf(content);
    const failure = await fileCredentials(path, 0)
      .current()
      .catch((error: Error) => error.message);
    expect(failure).toBe(`${path}${message}`);
  });

  it('says that there is no file', async () => {
    await expect(fileCredentials('/nowhere/c').current()).rejects.toThrow(
      /^\/nowhere\/c: the credentials file cannot be read: ENOENT/,
    );
  });
});

describe('providedCredentials', () => {
  it('asks once for many requests, and again after a refusal', async () => {
    let asked = 0;
    const credentials = providedCredentials({
      getCredentials: async () => {
        asked += 1;
        return { accessKeyId: `id-${Math.min(asked, 2)}`, accessKeySecret: 's', securityToken: '' };
      },
    });
    const keys = await Promise.all([credentials.current(), credentials.current(), credentials.current()]);
    expect(keys.map(({ id, sessionToken }) => [id, sessionToken])).toEqual(Array(3).fill(['id-1', null]));
    expect([await credentials.renew(), await credentials.renew(), asked]).toEqual([true, false, 3]);
  });

  it('asks anew after it has failed, and never says what it was given', async () => {
    const answers = [
      new Error('no role'),
      { accessKeyId: 'a', accessKeySecret: '' },
      { accessKeyId: 'a', accessKeySecret: 'b' },
    ];
    const credentials = providedCredentials({
      getCredentials: () => {
        const answer = answers.shift();
        if (answer instanceof Error || answer === undefined) throw answer;
        return answer;
      },
    });
    await expect(credentials.current()).rejects.toThrow('the credentials provider failed: no role');
    await expect(credentials.current()).rejects.toThrow(
      'the credentials provider gave no access key id or no secret',
    );
    expect((await credentials.current()).secret).toBe('b');
  });
});
