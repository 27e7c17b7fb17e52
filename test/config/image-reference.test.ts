import { describe, expect, it } from 'vitest';
import { imageName, isAlwaysPulled, readImageReference } from '../../src/config/image-reference.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

describe('readImageReference', () => {
  it.each([
    ['busybox', 'docker.io/library/busybox:latest', true],
    ['busybox:1.36', 'docker.io/library/busybox:1.36', false],
    ['user/model:1.0', 'docker.io/user/model:1.0', false],
    ['user/model', 'docker.io/user/model:latest', true],
    ['user/model:latest', 'docker.io/user/model:latest', true],
    ['docker.io/model:1', 'docker.io/library/model:1', false],
    ['index.docker.io/user/model:1', 'docker.io/user/model:1', false],
    ['quay.io/team/deep/model:v1_2.3-rc', 'quay.io/team/deep/model:v1_2.3-rc', false],
    ['localhost/model:1', 'localhost/model:1', false],
    ['localhost:5000/model', 'localhost:5000/model:latest', true],
    ['host:5000/team/model:1', 'host:5000/team/model:1', false],
    ['[::1]:5000/model:1', '[::1]:5000/model:1', false],
    [`user/model@${DIGEST}`, `docker.io/user/model@${DIGEST}`, false],
    [`host.example/model:latest@${DIGEST}`, `host.example/model:latest@${DIGEST}`, false],
  ])('reads %s as Docker does', (name, whole, isAlways) => {
    const reading = readImageReference(name);
    if (!reading.ok) expect.fail(reading.hint);
    expect([imageName(reading.image), isAlwaysPulled(reading.image)]).toEqual([whole, isAlways]);
  });

  it.each([
    ['', /cannot be an image/],
    ['host.example/', /cannot be an image/],
    ['User/Model:1', /cannot be an image: expected lower-case/],
    ['user/../model', /cannot be an image/],
    ['ho_st.example/model', /no host of a registry/],
    ['user/model:', /cannot be one/],
    ['user/model:a:b', /two tags/],
    [`user/model:${'x'.repeat(129)}`, /cannot be one/],
    ['user/model@sha256:123', /"@" that no digest follows/],
    [`user/model@sha512:${'0'.repeat(128)}`, /"@" that no digest follows/],
  ])('refuses "%s"', (name, expected) => {
    const reading = readImageReference(name);
    expect(reading.ok ? 'taken' : reading.hint).toMatch(expected);
  });

  it('does not repeat a password', () => {
    const reading = readImageReference('me:secret@host.example/model:1');
    expect(reading.ok ? 'secret' : reading.hint).not.toContain('secret');
  });
});
