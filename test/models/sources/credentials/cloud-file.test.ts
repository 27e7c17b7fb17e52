import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cloudEntry } from '../../../../src/models/sources/credentials/cloud-file.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const URI = { scheme: 's3', text: 's3://models/bert/?secret' } as const;

async function read(content: string) {
  const path = join(tempDir(), 'cloud_credential.json');
  writeFileSync(path, content);
  return await cloudEntry(URI, { TRITON_CLOUD_CREDENTIAL_PATH: path });
}

describe('the cloud credential file', () => {
  it('is none where the variable is not set', async () => {
    expect(await cloudEntry(URI, {})).toBeNull();
    expect(await cloudEntry(URI, { TRITON_CLOUD_CREDENTIAL_PATH: '' })).toBeNull();
  });

  it('has texts and fields that are texts; what else stands there is no credential', async () => {
    expect((await read('{"s3": {"s3://models": "a path"}}'))?.value).toBe('a path');
    expect((await read('{"s3": {"": {"key_id": "k", "n": 1, "o": {}}}}'))?.value).toEqual({ key_id: 'k' });
  });

  it('counts for an archive as for the file that it is', async () => {
    const path = join(tempDir(), 'cloud_credential.json');
    writeFileSync(path, '{"s3": {"s3://models": "a path"}}');
    const uri = { scheme: 's3', text: 'unpack+s3://models/bert.tar' } as const;
    expect((await cloudEntry(uri, { TRITON_CLOUD_CREDENTIAL_PATH: path }))?.value).toBe('a path');
  });

  it.each([
    ['{\n  "s3": {"": {}},\n}', /expected JSON, with .* at line 3, column 1, found something else$/],
    ['{"gs": {}, "as": {}}', /expected a section "s3", for s3:\/\/models\/bert\/, found "gs", "as"$/],
    ['{"s3": []}', /expected a section "s3"/],
    [
      '{"s3": {"s3://other": {}}}',
      /expected a prefix of s3:\/\/models\/bert\/ in "s3", .* found "s3:\/\/other"$/,
    ],
    ['[]', /expected a section "s3", .* found none$/],
  ])('that says %s is refused, by its path', async (content, message) => {
    const failure = await read(content).catch((error) => error);
    expect(failure.message).toMatch(/^TRITON_CLOUD_CREDENTIAL_PATH \(\/.*cloud_credential\.json\): /);
    expect(failure.message).toMatch(message);
    expect(failure.message).not.toContain('secret');
  });

  it('that is not there, or a folder, is said', async () => {
    const folder = join(tempDir(), 'folder');
    mkdirSync(folder);
    const at = async (path: string) => await cloudEntry(URI, { TRITON_CLOUD_CREDENTIAL_PATH: path });
    await expect(at('/none.json')).rejects.toThrow('(/none.json): expected a file, found none');
    await expect(at(folder)).rejects.toThrow(/expected a file that can be read, found EISDIR/);
  });
});
