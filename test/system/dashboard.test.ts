import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { clusterKeys } from '../../src/config/token.ts';
import { fakeNvidiaSmi } from '../support/fake-nvidia-smi.ts';
import { CHROMIUM, TestBrowser, violationsOf } from './support/browser.ts';
import { TestHead } from './support/cluster.ts';
import { echoSource, Project } from './support/project.ts';

const PAGES = [
  '',
  'deployments',
  'deployment/Echo',
  'deployment/Many',
  'replicas/',
  'nodes',
  'configuration',
  'configuration/history',
  'events',
];
const BATCHED = `
class Backend(object):
    def __init__(self, model_path):
        pass

    def predict_batch(self, items):
        return [{'status': 1} for _ in items]
`;
const WHAT = 'the dashboard in a browser';

if (CHROMIUM === null) process.stdout.write(`skipped: ${WHAT}: there is no chromium on this machine\n`);

it('sends less than 80 kB for its first page', () => {
  const folder = join(import.meta.dirname, '../../dist/dashboard');
  const page = readFileSync(join(folder, 'index.html'), 'utf8');
  const files = [...page.matchAll(/(?:src|href)="\.?\/?([^"]+\.(?:js|css|svg))"/g)].map(
    ([, name = '']) => name,
  );
  expect(files.length).toBeGreaterThanOrEqual(3);
  const bytes = ['index.html', ...files].map((name) => readFileSync(join(folder, `${name}.gz`)).length);
  expect(bytes.reduce((sum, one) => sum + one, 0)).toBeLessThan(80_000);
});

describe.skipIf(CHROMIUM === null)(WHAT, () => {
  const project = new Project();
  const section = { backend: 'Backend', route: 'echo', min_ready_s: 0.2, gpu_cost: 0.5 };
  let head: TestHead;
  let browser: TestBrowser;
  let page: Page;

  beforeAll(async () => {
    const source = echoSource();
    project.package(
      'Echo',
      source.replace('self.config = None', "self.config = None; print('made it', flush=True)"),
    );
    project.package('Large', echoSource());
    project.package('Many', BATCHED);
    project.write('Model_ZOO/words.txt', 'one two three');
    const many = { backend: 'Backend', route: 'many', min_ready_s: 0.2, max_batch_size: 4 };
    project.sections({ Echo: { ...section, model: 'words.txt' }, Many: many });
    const card = { folder: project.dir, uuid: `GPU-${randomUUID()}`, usedMib: 12_000 };
    head = await TestHead.start({ conf: project.conf, env: { PATH: fakeNvidiaSmi(card) } });
    browser = await TestBrowser.start();
    page = await browser.open(head.dashboard);
  });

  afterAll(async () => {
    await browser?.stop();
    await head?.dispose();
    project.remove();
  });

  async function show(place: string): Promise<void> {
    await page.goto(`${head.dashboard}#/${place}`);
    await page.locator('h1').waitFor();
  }

  /** Puts the project's conf.ini, changed, into the editor. */
  async function edit(change: (text: string) => string): Promise<void> {
    await show('');
    await show('configuration');
    await page.locator('.cm-content').click();
    await page.keyboard.press('Control+A');
    await page.keyboard.insertText(change(readFileSync(project.conf, 'utf8')));
  }

  it('lets in who has the token, and says so where it is wrong', async () => {
    await page.fill('input[name=token]', 'mst_wrong');
    await page.click('button[type=submit]');
    await page.getByText('not that of this cluster').waitFor();
    await page.fill('input[name=token]', head.token);
    await page.click('button[type=submit]');
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.getByText('Everything runs as the configuration says').waitFor();
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
  });

  it('shows a viewer everything, and no way to change it', async () => {
    const theirs = await browser.open(head.dashboard);
    await theirs.fill('input[name=token]', clusterKeys(head.token).viewerKey);
    await theirs.click('button[type=submit]');
    await theirs.getByText('read only', { exact: true }).waitFor();
    for (const [place, shown] of [
      ['configuration', 'with this login one looks, and changes nothing'],
      ['configuration/history', 'Show'],
      ['deployment/Echo', 'Output'],
    ]) {
      await theirs.goto(`${head.dashboard}#/${place}`);
      await theirs
        .getByText(shown ?? '')
        .first()
        .waitFor();
      expect(await theirs.getByRole('button', { name: /^(Apply|Plan|Send|Roll back)/ }).count()).toBe(0);
    }
    await theirs.context().close();
  });

  it('shows the card of the node with the slice of the replica on it', async () => {
    await show('nodes');
    await page.getByText('50 % free').waitFor();
    const slice = page.locator('.slices a');
    expect(await slice.getAttribute('aria-label')).toMatch(/^Echo-\w+ has 50 %/);
    await slice.click();
    await page.getByText('GPU 0: 50 %').waitFor();
  });

  it('shows what the replica uses of its share, and that it is more', async () => {
    await show('nodes');
    await page.getByText('12.06 GiB of 19.53 GiB in use, 40 % busy').waitFor();
    await page.locator('.gpu').getByText('uses 11.72 GiB of 9.77 GiB').waitFor({ timeout: 90_000 });
    const slice = page.locator('.slices a');
    expect(await slice.getAttribute('aria-label')).toMatch(
      /^Echo-\w+ has 50 %; uses 11.72 GiB of 9.77 GiB of memory; 20 % busy$/,
    );
    await slice.click();
    const gpus = page.getByRole('region', { name: 'GPUs', exact: true }).first();
    await gpus.getByRole('row', { name: /0 Fake H200 50 % 11.72 GiB 9.77 GiB over it 20 %/ }).waitFor();
  });

  it('follows what a replica writes', async () => {
    const [replica] = (await head.status()).deployments[0]?.replicas ?? [];
    await show(`replicas/${replica?.id}`);
    await page.locator('.log').getByText('made it').waitFor();
    const models = page.getByRole('region', { name: 'Model files' });
    await models.getByText('words.txt').waitFor();
    await models.getByText('13 bytes').waitFor();
    await page.getByRole('region', { name: 'Environment' }).getByText('Backend', { exact: true }).waitFor();
  });

  it('asks a deployment, and shows what it answers', async () => {
    await show('deployment/Echo');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByText('"version": "v1"').waitFor();
  });

  /** What is shown is of the last full ten seconds: requests go on until the test has seen all of it. */
  function keepAsking(ask: () => Promise<unknown>): void {
    let isOver = false;
    const traffic = (async () => {
      while (!isOver) await Promise.all([ask(), delay(100)]);
    })();
    onTestFinished(async () => {
      isOver = true;
      await traffic;
    });
  }

  it('draws rates, latencies, the queue and errors by kind', async () => {
    const ask = async (method: string) => await (await fetch(head.url('echo'), { method })).arrayBuffer();
    keepAsking(async () => await Promise.all([ask('POST'), ask('DELETE')]));
    await show('deployments');
    await page.getByRole('row', { name: /Echo.* ms .* ms .* ms/ }).waitFor();
    await show('deployment/Echo');
    const legend = (name: string) => page.locator('.legend', { hasText: name });
    for (const text of [/p50 .* ms.*p95 .* ms.*p99 .* ms/, /in the queue \d/, /client error .*\/s/])
      await legend('').filter({ hasText: text }).waitFor();
    await legend('')
      .filter({ hasText: /queue p50 .* [mµ]s.*queue p95 .* [mµ]s.*code p50 .* [mµ]s.*code p95 .* [mµ]s/ })
      .waitFor();
    const canvases = page.locator('figure.chart canvas');
    expect(await canvases.count()).toBe(5);
    const [first, second, third, fourth] = await Promise.all(
      [0, 1, 2, 3].map(async (index) => await canvases.nth(index).boundingBox()),
    );
    expect([first?.y, third?.y], 'two in a row are level').toEqual([second?.y, fourth?.y]);
  });

  it('draws the size of batches where there are some', async () => {
    await show('deployment/Many');
    const latency = page.locator('figure.chart', { hasText: 'p99' });
    await latency.getByText('Nothing was measured in this time.').waitFor();
    const ask = async () => await (await fetch(head.url('many'), { method: 'POST', body: '{}' })).text();
    expect(JSON.parse(await ask())).toEqual({ status: 1 });
    keepAsking(ask);
    await show('deployment/Many');
    const batches = page.locator('figure.chart', { hasText: 'Calls in a batch' });
    await batches.getByText(/^on average\s*1$/).waitFor();
    expect(await page.locator('figure.chart canvas').count()).toBe(5);
  });

  it('marks mistakes while one types, and applies nothing', async () => {
    await edit((text) => text.replace('gpu_cost = 0.5', 'gpu_cost = much'));
    await page.getByText('1 mistake').waitFor();
    await page.locator('.cm-lint-marker-error').waitFor();
    expect(await page.getByRole('button', { name: 'Apply' }).isDisabled()).toBe(true);
    expect((await head.status()).revision).toBe(1);
  });

  it('plans, applies and watches a change, and explains what finds no room', async () => {
    await edit((text) => `${text}\n[algopkg.Large]\nbackend = Backend\nroute = large\ngpu_cost = 1\n`);
    await page.getByText('No mistakes').waitFor();
    await page.getByRole('button', { name: 'Plan' }).click();
    await page.getByText('This would change').waitFor();
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.getByRole('heading', { name: 'Revision 2' }).first().waitFor();
    await page.getByText('Revision 2 is on its way').waitFor();
    await page.getByText('0 of 1 ready; no room').waitFor();
    await show('nodes');
    const why = page.getByRole('status').filter({ hasText: 'Large waits for room' });
    await why.getByText(/no room: node .* GPU/).waitFor();
    await show('');
    await page.getByText(/Large is pending: 0 of 1 ready/).waitFor();
  });

  it('shows a broken revision, and rolls it back with one click', async () => {
    project.package('Echo', 'class Backend(object):\n    def __init__(self, model_path)\n        pass\n');
    expect((await head.apply()).code).toBe(1);
    await show('deployment/Echo');
    await page.getByText('SyntaxError').first().waitFor();
    await show('configuration/history');
    const first = page.locator('li').filter({ hasText: /^1/ });
    await first.getByRole('button', { name: 'Compare' }).click();
    await first.getByText('package content').waitFor();
    await first.getByRole('button', { name: /Roll back to 1/ }).click();
    await page.getByText(/Revision \d+ is in force/).waitFor();
    await show('');
    await page.getByText('Everything runs as the configuration says').waitFor();
    await show('events');
    await page.getByText('rollout failed').first().waitFor();
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 360],
    ['dark', 360],
  ] as const)('is accessible on every page: %s, %i px wide', async (colorScheme, width) => {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 800 });
    const [replica] = (await head.status()).deployments[0]?.replicas ?? [];
    for (const one of PAGES) {
      const place = one === 'replicas/' ? `${one}${replica?.id}` : one;
      await show(place);
      await page
        .locator(place === 'configuration' ? '.cm-content' : 'main .card')
        .first()
        .waitFor();
      expect(await violationsOf(page), `${place} ${colorScheme} ${width}`).toEqual([]);
      const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
      expect(overflow, `${place} is wider than the window`).toBeLessThanOrEqual(0);
    }
  });

  it('can be left, and asks for the token again', async () => {
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.locator('input[name=token]').waitFor();
    await page.reload();
    await page.locator('input[name=token]').waitFor();
  });

  it('has complained about nothing all the while', () => {
    expect(browser.complaints.filter((text) => !text.includes('Failed to load resource'))).toEqual([]);
  });
});
