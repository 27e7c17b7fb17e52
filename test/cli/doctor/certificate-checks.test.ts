import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { certificateChecks } from '../../../src/cli/doctor/certificate-checks.ts';
import { issue } from '../../support/certificates.ts';

const DAY_MS = 24 * 3_600_000;

/** The address of a server that shows a certificate which is good from one day to another, counted from now. */
async function showing([from = 0, to = 0]: readonly number[]): Promise<string> {
  const life = { fromMs: Date.now() + from * DAY_MS, toMs: Date.now() + to * DAY_MS };
  const server = createServer(await issue('mst_ours', 'front', life));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const node = (http: string, alive = true) => ({
  ...({ id: 'n1', role: 'worker', hostname: 'one', address: '127.0.0.1', http, alive } as const),
  ...{ draining: false, cpus: 2, gpus: [] },
});

it.each([
  ['has ended', [-3, -1], 'bad', /shows CN=front, which ended on .* GMT$/],
  ['is not good yet', [1, 9], 'bad', /good from .* on only$/],
  ['ends before long', [-3, 9], 'warn', /which ends on .* GMT$/],
  ['is good', [-3, 300], 'ok', /good until/],
] as const)('says of a certificate that it %s', async (_what, days, state, found) => {
  const [finding] = await certificateChecks([node(await showing(days))], Date.now());
  expect(finding).toMatchObject({ check: 'TLS of n1', state, found: expect.stringMatching(found) });
  expect(finding?.advice === '').toBe(state === 'ok');
});

it('looks at live nodes with TLS, and says which cannot be asked', async () => {
  const nodes = [node('http://127.0.0.1:1'), node('https://127.0.0.1:1', false), node('https://127.0.0.1:1')];
  const findings = await certificateChecks(nodes, Date.now());
  expect(findings).toMatchObject([{ state: 'warn', found: expect.stringContaining('ECONNREFUSED') }]);
});
