import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHROMIUM, TestBrowser, violationsOf } from './support/browser.ts';
import { TestHead } from './support/cluster.ts';
import { echoSource, Project } from './support/project.ts';

const WHAT = 'the dashboard of a cluster without deployments, by keyboard';

if (CHROMIUM === null) process.stdout.write(`skipped: ${WHAT}: there is no chromium on this machine\n`);

/** In the page: what has the focus is called, and whether that is seen. */
const FOCUSED = `(() => {
  const one = document.activeElement;
  if (one === document.body) return { name: '', isSeen: false };
  const name = one.ariaLabel ?? one.labels?.[0]?.textContent ?? one.textContent;
  const framed = [one, one.closest('.cm-editor')].filter((element) => element !== null);
  const isSeen = framed.some((element) => getComputedStyle(element).outlineStyle === 'solid');
  return { name: name.trim(), isSeen };
})()`;
interface Focused {
  readonly name: string;
  readonly isSeen: boolean;
}
/** No page has so many places to stop at. */
const MOST_STOPS = 60;

describe.skipIf(CHROMIUM === null)(WHAT, () => {
  const project = new Project();
  let head: TestHead;
  let browser: TestBrowser;
  let page: Page;

  beforeAll(async () => {
    project.sections({});
    project.package('Echo', echoSource());
    project.package('Large', echoSource());
    head = await TestHead.start({ conf: project.conf });
    browser = await TestBrowser.start();
    page = await browser.open(head.dashboard);
  });

  afterAll(async () => {
    await browser?.stop();
    await head?.dispose();
    project.remove();
  });

  const focused = async (): Promise<Focused> => await page.evaluate<Focused>(FOCUSED);

  /** Goes on to what is called so; every stop on the way is to be seen. */
  async function tabTo(name: string | RegExp, key: 'Tab' | 'Shift+Tab' = 'Tab'): Promise<void> {
    const passed: string[] = [];
    while (passed.length < MOST_STOPS) {
      await page.keyboard.press(key);
      const now = await focused();
      if (now.name !== '') await expect.poll(focused, { message: now.name }).toMatchObject({ isSeen: true });
      if (typeof name === 'string' ? now.name === name : name.test(now.name)) return;
      passed.push(now.name);
    }
    throw new Error(`there is no way to ${name} by ${key}: ${passed.join(' | ')}`);
  }

  async function press(name: string | RegExp, key: 'Tab' | 'Shift+Tab' = 'Tab'): Promise<void> {
    await tabTo(name, key);
    await page.keyboard.press('Enter');
  }

  async function show(place: string): Promise<void> {
    await page.goto(`${head.dashboard}#/${place}`);
    await page.locator(place === 'configuration' ? '.cm-content' : 'h1').waitFor();
  }

  it('logs in', async () => {
    await tabTo('Token');
    await page.keyboard.insertText(head.token);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
  });

  it.each([
    ['', 'modelserve init Hello'],
    ['deployments', 'modelserve init Hello'],
    ['nodes', 'the Overview has the first steps'],
    ['configuration', 'Each package that is to be served has a section'],
    ['configuration/history', 'newest'],
    ['events', 'node joined'],
  ])('says what to do next, and shows no empty chart: #/%s', async (place, words) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await show(place);
      await page.getByText(words, { exact: false }).first().waitFor();
      expect(await page.locator('figure.chart').count()).toBe(0);
      expect(await violationsOf(page), colorScheme).toEqual([]);
    }
  });

  it('goes to the configuration, and from a mistake to its line', async () => {
    await show('');
    await press('Configuration');
    await page.locator('.cm-content').waitFor();
    await tabTo('conf.ini');
    await page.keyboard.press('Control+End');
    await page.keyboard.insertText('\n[algopkg.Echo]\nbackend = Backend\nrout = echo\nmin_ready_s = 0.2\n');
    await page.getByText('1 mistake').waitFor();
    await press(/^Line \d+ · \[algopkg.Echo\] rout/);
    expect((await focused()).name).toBe('conf.ini');
    await page.keyboard.type('route');
    await page.getByText('No mistakes').waitFor();
  });

  it('plans and applies, and goes on at what came of it', async () => {
    await press('Plan');
    await page.getByText('This would change').waitFor();
    expect(await focused()).toEqual({ name: 'Plan', isSeen: true });
    await press('Apply');
    await page.getByText('Revision 2 is in force').waitFor();
    expect((await focused()).name).toContain('Revision 2');
    await press('Echo');
    await page.getByRole('heading', { name: 'Echo' }).waitFor();
    expect(await page.evaluate('document.activeElement.id')).toBe('main');
  });

  it('asks what finds no room, which has written nothing', async () => {
    await show('configuration');
    await tabTo('conf.ini');
    await page.keyboard.press('Control+End');
    await page.keyboard.insertText('\n[algopkg.Large]\nbackend = Backend\nroute = large\ngpu_cost = 1\n');
    await page.getByText('No mistakes').waitFor();
    await press('Apply');
    await page.getByText('0 of 1 ready; no room').waitFor();
    await press('Large');
    await page.getByRole('log').getByText('Nothing has been written yet.').waitFor();
    await press('Send');
    await page.getByText('Try again in 1 s.').waitFor();
    expect((await focused()).name).toBe('Send');
    await page.getByText('Large is unplaced').waitFor();
  });

  it('drops what is typed, and is in the text then', async () => {
    await show('configuration');
    await tabTo('conf.ini');
    await page.keyboard.insertText('# mine\n');
    await press('Drop my changes');
    await page.getByText('As in revision 3').waitFor();
    expect((await focused()).name).toBe('conf.ini');
  });

  it('goes back to an earlier revision', async () => {
    await press('History', 'Shift+Tab');
    await page.locator('li').first().waitFor();
    await press('Compare');
    await page.getByText('What going back from 3 to 2 would change').waitFor();
    await press('Roll back to 2');
    await page.getByText('Revision 4 is in force').waitFor();
    expect((await focused()).name).toContain('Back, by revision 4');
    expect((await head.status()).deployments.map(({ name }) => name)).toEqual(['Echo']);
  });

  it('has made the browser complain about nothing', () => {
    expect(browser.complaints).toEqual([]);
  });
});
