import { describe, expect, it } from 'vitest';
import { isModelUri, localModelName, readModelUri } from '../../src/config/model-uri.ts';
import { compiled, mistakesOf, PACKAGES } from './project-fixture.ts';

const read = (text: string) => {
  const reading = readModelUri(text);
  if (!reading.ok) return reading.hint;
  const { endpoint, bucket, key, localName } = reading.uri;
  return [endpoint, bucket, key, localName];
};

describe('an archive', () => {
  it.each([
    [
      'unpack+https://host.example/a/bert-v3.tar.gz?sig=1',
      ['https://host.example', '', 'a/bert-v3.tar.gz', 'bert-v3'],
    ],
    ['UNPACK+s3://bucket/bert.tar', [null, 'bucket', 'bert.tar', 'bert']],
    ['unpack+as://acct/models/bert.tgz', [null, 'models', 'bert.tgz', 'bert']],
    ['unpack+gs://bucket/bert.tar.zst', [null, 'bucket', 'bert.tar.zst', 'bert']],
    ['unpack+http://host/.tar', ['http://host', '', '.tar', '.tar']],
    [
      'unpack+s3://bucket/bert/',
      '"unpack+s3://bucket/bert/": "unpack+" is for one archive, and this is a folder',
    ],
    [
      'unpack+oci://me/bert:1',
      '"unpack+oci://me/bert:1": "unpack+" is for one archive, and this is an image',
    ],
    [
      'unpak+http://host/a.tar',
      expect.stringMatching(/no scheme "unpak\+http"; did you mean "unpack\+http"\?/),
    ],
    ['unpack+htps://host/a.tar', expect.stringMatching(/there is no scheme "htps".*https/)],
  ])('%s', (text, expected) => {
    expect(isModelUri(text)).toBe(true);
    expect(read(text)).toEqual(expected);
  });

  it('is found by its name without the ending', () => {
    expect(localModelName('unpack+https://host/bert.tar.gz')).toBe('bert');
    expect(localModelName('https://host/bert.tar.gz')).toBe('bert.tar.gz');
  });
});

describe('an account of Azure', () => {
  const readAzure = (text: string) => {
    const reading = readModelUri(text);
    if (!reading.ok) return reading.hint;
    const { endpoint, account, bucket, key, query } = reading.uri;
    return [endpoint, account, bucket, key, query];
  };

  it.each([
    ['as://acct/cont/dir/m.bin', [null, 'acct', 'cont', 'dir/m.bin', '']],
    ['as://acct/cont//dir//', [null, 'acct', 'cont', 'dir/', '']],
    ['as://acct/cont', [null, 'acct', 'cont', '', '']],
    ['as://acct/$root/m', [null, 'acct', '$root', 'm', '']],
    ['as://acct/cont/m?sv=1&sig=a%2Fb', [null, 'acct', 'cont', 'm', '?sv=1&sig=a%2Fb']],
    [
      'as://acct.blob.core.windows.net/cont/m',
      ['https://acct.blob.core.windows.net', 'acct', 'cont', 'm', ''],
    ],
    ['as://http://127.0.0.1:10000/acct/cont/m', ['http://127.0.0.1:10000', 'acct', 'cont', 'm', '']],
    ['as://127.0.0.1:10000/acct/cont/m', ['http://127.0.0.1:10000', 'acct', 'cont', 'm', '']],
    [
      'as://https://acct.blob.core.windows.net/cont/m',
      ['https://acct.blob.core.windows.net', 'acct', 'cont', 'm', ''],
    ],
  ])('is read from %s', (text, expected) => {
    expect(readAzure(text)).toEqual(expected);
  });

  it.each([
    ['as://acct', /names no bucket/],
    ['as://a+b/cont/m', /names the account "a\+b"; expected as:/],
    ['as://acct/cont/../m', /"\." or "\.\."/],
    ['as://a:b@c/cont/m?sig=secret', /names the account/],
  ])('is missing or wrong in %s', (text, expected) => {
    expect(readAzure(text)).toMatch(expected);
    expect(readAzure(text)).not.toContain('secret');
  });
});

describe('readModelUri', () => {
  it.each([
    ['s3://b/dir/m.bin', [null, 'b', 'dir/m.bin', 'm.bin']],
    ['s3://b/dir/', [null, 'b', 'dir/', 'dir']],
    ['s3://b', [null, 'b', '', 'b']],
    ['S3://b//dir//m.bin', [null, 'b', 'dir/m.bin', 'm.bin']],
    ['gs://b/dir/', [null, 'b', 'dir/', 'dir']],
    ['oss://b/dir/m.bin', [null, 'b', 'dir/m.bin', 'm.bin']],
    ['s3://127.0.0.1:9000/b/m', ['http://127.0.0.1:9000', 'b', 'm', 'm']],
    ['s3://https://store.example:9000//b/m', ['https://store.example:9000', 'b', 'm', 'm']],
    ['s3://http://store.example/b/m/', ['http://store.example', 'b', 'm/', 'm']],
    ['s3://b/a%2Cb.bin', [null, 'b', 'a,b.bin', 'a%2Cb.bin']],
    ['s3://b/wh?t#is 50%.bin', [null, 'b', 'wh?t#is 50%.bin', 'wh?t#is 50%.bin']],
    ['oci://user/model:1.0', [null, 'docker.io', 'user/model', 'model']],
    ['oci+native://host.example:5000/a/b/model', [null, 'host.example:5000', 'a/b/model', 'model']],
    ['https://h.example/x/m%20v1.onnx?sig=a%2Fb', ['https://h.example', '', 'x/m%20v1.onnx', 'm v1.onnx']],
  ])('reads %s', (text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  it.each([
    ['s4://b/m', /no scheme "s4"; there are s3, oss, gs, /],
    ['htps://b/m', /no scheme "htps"; did you mean "https"\? there are s3, oss, gs, /],
    ['s3://', /names no bucket/],
    ['s3://b/../m', /"\." or "\.\."/],
    ['s3://ke:y@b/m', /cannot be a bucket/],
    ['oci://User/Model', /cannot be an image/],
    ['oci://me:secret@host.example/model', /^"oci:\/\/…@host\.example\/model" has an "@"/],
    ['https://h.example/', /has to end in the name of a file/],
    ['https://user:secret@h.example/m', /cannot stand in conf\.ini/],
    ['https://h.example/a b', /%20/],
  ])('refuses %s', (text, expected) => {
    expect(read(text)).toMatch(expected);
    expect(read(text)).not.toContain('secret');
  });

  it('is for URIs, and leaves names below the model folder as they are', () => {
    expect(['s3://b/m', 'x1+y://z', 'sub/m.bin', 'c:/m', 'http:/x'].map(isModelUri)).toEqual([
      ...[true, true, false, false, false],
    ]);
    expect(['sub/m.bin', 's3://b/dir/'].map(localModelName)).toEqual(['sub/m.bin', 'dir']);
  });
});

describe('model = URI', () => {
  const section = (model: string): string => `[algopkg.Echo]\nbackend = EchoBackend\nmodel = ${model}\n`;

  it('is kept as it is written, beside files', async () => {
    const conf = await compiled(section('s3://b/dir/, echo_v1.onnx, https://h.example/x%2Cy'));
    expect(conf.deployments[0]?.models).toEqual(['s3://b/dir/', 'echo_v1.onnx', 'https://h.example/x%2Cy']);
  });

  it.each([
    [
      's3://a/m.bin, https://h.example/m.bin?x=1',
      'both "s3://a/m.bin" and "https://h.example/m.bin" as "m.bin"',
    ],
    ['s3://a/echo_v1.onnx, echo_v1.onnx', 'both "s3://a/echo_v1.onnx" and "echo_v1.onnx" as "echo_v1.onnx"'],
    ['sub/labels.json, s3://a/sub/', 'both "s3://a/sub/" and "sub/labels.json" as "sub"'],
  ])('refuses %s: user code would find two at one place', async (model, found) => {
    expect((await mistakesOf(section(model), PACKAGES)).join()).toContain(found);
  });
});
