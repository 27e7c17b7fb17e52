import { describe, expect, it } from 'vitest';
import { modelAgents } from '../../src/cluster/spec/agents.ts';
import { differences } from '../../src/config/pin.ts';
import { compiled, mistakesOf, PACKAGES } from './project-fixture.ts';
import { pinned } from './specs.ts';

const ECHO = '[algopkg.Echo]\nbackend = EchoBackend\n';
const MD5 = '0f343b0931126a20f133d67c2b018a3b';
const FILES = { ...PACKAGES, 'algopkg/Echo/hooks/shrink.mjs': 'export const modelAction = () => null;\n' };

describe('agent keys', () => {
  it('name a module with its parameters, and checksums, in the order of the file', async () => {
    const text = `${ECHO}agent.shrink = hooks/shrink.mjs
agent.shrink.level.of = 3
agent.checksum.md5:bert/weights.bin = ${MD5.toUpperCase()}
agent.checksum.SHA1:a b.bin = ${'a'.repeat(40)}
`;
    const { deployments } = await compiled(text, FILES);
    expect(modelAgents(deployments[0]?.agents)).toEqual([
      { kind: 'module', name: 'shrink', module: 'hooks/shrink.mjs', parameters: { 'level.of': '3' } },
      {
        kind: 'checksum',
        name: 'checksum',
        checksums: [
          { algorithm: 'MD5', path: 'bert/weights.bin', expected: MD5 },
          { algorithm: 'SHA1', path: 'a b.bin', expected: 'a'.repeat(40) },
        ],
      },
    ]);
  });

  const CHECKSUM = 'such as "agent.checksum.SHA256:dir/file.bin = …"';
  const MODULE = 'expected a .mjs, .js or .cjs file of the package';
  it.each([
    [
      'agent.checksum = x',
      `agent.checksum: expected ALGORITHM:path of a file below the model folder, found ""; ${CHECKSUM}`,
    ],
    [
      'agent.checksum.m.bin = x',
      `agent.checksum.m.bin: expected ALGORITHM:path of a file below the model folder, found "m.bin"; ${CHECKSUM}`,
    ],
    [
      'agent.checksum.MD5:../m = x',
      `agent.checksum.MD5:../m: expected ALGORITHM:path of a file below the model folder, found "MD5:../m"; ${CHECKSUM}`,
    ],
    [
      'agent.checksum.crc:m = x',
      `agent.checksum.crc:m: expected a checksum algorithm: MD5, SHA1, SHA256, SHA512, found "crc"; ${CHECKSUM}`,
    ],
    [
      'agent.checksum.MD5:m = abc',
      'agent.checksum.MD5:m: expected the MD5 of the file, 32 hex digits, found "abc"',
    ],
    ['agent.x = ../x.mjs', `agent.x: ${MODULE}, found "../x.mjs"; a path relative to the package folder`],
    ['agent.x = x.py', `agent.x: ${MODULE}, found "x.py"; a path relative to the package folder`],
    [
      'agent.x.key = 1',
      'agent.x.key: expected a module for the agent x, found only parameters for it; add a line such as "agent.x = x.mjs"',
    ],
    [
      'agent.1 = x.mjs',
      'agent.1: expected the name of an agent after "agent.", found "1"; such names have letters, digits, "_" and "-"',
    ],
  ])('are refused where they are wrong: %s', async (line, message) => {
    expect(await mistakesOf(`${ECHO}${line}\n`)).toEqual([`conf.ini:3 [algopkg.Echo] ${message}`]);
  });

  it('cannot look at models that have not come yet', async () => {
    const text = `${ECHO}stream = memory\nagent.checksum.MD5:m.bin = ${MD5}\n`;
    expect(await mistakesOf(text)).toEqual([
      'conf.ini:4 [algopkg.Echo] agent.checksum.MD5:m.bin: expected whole models for agents to look at, found "stream = memory:120"; leave one of the two out',
    ]);
  });

  it('and streams cannot stand beside run_as, where they would need the node’s own user', async () => {
    const files = { ...PACKAGES, 'algopkg/Echo/x.mjs': '' };
    const at = 'conf.ini:3 [algopkg.Echo] run_as: expected';
    const out = 'leave one of the two out';
    expect(await mistakesOf(`${ECHO}run_as = svc\nagent.x = x.mjs\nstream = true\n`, files)).toEqual([
      `${at} no code of the package that runs as the node, found "agent.x"; ${out}`,
      `${at} whole models for another user, found "stream = on"; ${out}`,
      expect.stringContaining('agent.x: expected whole models for agents to look at'),
    ]);
    const checksum = `${ECHO}run_as = svc\nagent.checksum.MD5:echo_v1.onnx = ${MD5}\n`;
    expect((await compiled(checksum, files)).deployments[0]?.runAs).toBe('svc');
  });

  it('tell which file a module is missing', async () => {
    const [message] = await mistakesOf(`${ECHO}agent.x = x.mjs\n`);
    expect(message).toMatch(/agent\.x: expected a \.mjs, .* found no file .*algopkg\/Echo\/x\.mjs$/);
  });

  it('have replicas replaced when they change, and leave the hash alone where there are none', () => {
    const [none, one, other] = [
      pinned(),
      pinned({ agents: { x: 'a.mjs', y: 'b.mjs' } }),
      pinned({ agents: { y: 'b.mjs', x: 'a.mjs' } }),
    ];
    expect(one.hashes.replace).not.toBe(none.hashes.replace);
    expect(other.hashes.replace).not.toBe(one.hashes.replace);
    expect(differences(none, one).map(({ key, from, to }) => [key, from, to])).toEqual([
      ['agent.x', 'not set', '"a.mjs"'],
      ['agent.y', 'not set', '"b.mjs"'],
    ]);
  });
});
