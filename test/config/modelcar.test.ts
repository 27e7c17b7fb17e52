import { describe, expect, it } from 'vitest';
import { compiled, mistakesOf, warningsOf } from './project-fixture.ts';

const conf = (keys: string, model = 'oci://user/model:1.0') =>
  `[MODEL SERVE]\n${keys}\n[algopkg.Echo]\nbackend = EchoBackend\nmodel = ${model}\n`;

describe("KServe's keys for images", () => {
  it('are taken, and those of the sidecar named as without effect', async () => {
    expect(
      await warningsOf(
        conf('enableModelcar = true\ncpuModelcar = 10m\nmemoryModelcar = 15Mi\nuidModelcar = 1010'),
      ),
    ).toEqual(
      [
        ['3', 'cpuModelcar', '10m'],
        ['4', 'memoryModelcar', '15Mi'],
        ['5', 'uidModelcar', '1010'],
      ].map(
        ([line, key, value]) =>
          `conf.ini:${line} [MODEL SERVE] ${key}: expected no key for a sidecar, since none runs, found "${value}"; it is taken and has no effect; images are unpacked once on the head`,
      ),
    );
    expect((await compiled(conf('enableModelcar = True'))).deployments[0]?.models).toEqual([
      'oci://user/model:1.0',
    ]);
  });

  it.each(['enableModelcar = false', 'enableModelcar = off'])(
    '%s refuses images, and nothing else',
    async (off) => {
      expect(
        await mistakesOf(conf(off, 'echo_v1.onnx, oci://user/model:1.0, oci+native://h.example/m:2')),
      ).toEqual(
        ['oci://user/model:1.0', 'oci+native://h.example/m:2'].map(
          (uri) =>
            `conf.ini:5 [algopkg.Echo] model: expected no image, since [MODEL SERVE] has ${off}, found "${uri}"; take that line away, or set it to on`,
        ),
      );
      expect((await compiled(conf(off, 'echo_v1.onnx, s3://b/m'))).deployments).toHaveLength(1);
    },
  );

  it.each([
    ['enableModelcar = maybe', 'enableModelcar: expected on or off, found "maybe"'],
    ['cpuModelcar = much', 'cpuModelcar: expected an amount of CPU such as 10m, found "much"'],
    ['memoryModelcar = -1', 'memoryModelcar: expected an amount of memory such as 15Mi, found "-1"'],
    ['uidModelcar = root', 'uidModelcar: expected the number of a user, found "root"'],
  ])('%s is a mistake', async (line, message) => {
    expect(await mistakesOf(conf(line))).toEqual([`conf.ini:2 [MODEL SERVE] ${message}`]);
  });
});
