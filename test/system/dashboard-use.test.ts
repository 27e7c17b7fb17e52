import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHROMIUM, TestBrowser, violationsOf } from './support/browser.ts';
import { TestHead } from './support/cluster.ts';
import { Project } from './support/project.ts';

const WHAT = 'what a person does on the dashboard';

if (CHROMIUM === null) process.stdout.write(`skipped: ${WHAT}: there is no chromium on this machine\n`);

/** Answers as it is asked to, and writes as many lines. */
const ANSWERS = `
import asyncio

class Backend(object):
    def __init__(self, model_path):
        self.count = 0

    async def __call__(self, request):
        asked = await request.json()
        for _ in range(asked.get('lines', 0)):
            self.count += 1
            print('written', self.count, flush=True)
        kind = asked.get('kind')
        if kind == 'slow':
            await asyncio.sleep(600)
        if kind == 'fails':
            return {'status': 0, 'info': 'as it was asked to'}
        if kind == 'bytes':
            return bytes(range(256))
        if kind == 'large':
            return 'x' * 5_000_000
        return {'status': 1, 'asked': asked}
`;

const WAIT = { timeout: 30_000 };
/** Of callers of Keyed. */
const KEY = 'k-0123456789abcdef0123';
const SECTION = { backend: 'Backend', route: 'answers', min_ready_s: 0.2 };

describe.skipIf(CHROMIUM === null)(WHAT, () => {
  const project = new Project();
  let head: TestHead;
  let browser: TestBrowser;
  let page: Page;

  beforeAll(async () => {
    project.package('Answers', ANSWERS);
    project.package('Keyed', ANSWERS);
    project.write('callers.keys', `me = ${KEY}\n`);
    const keys = { api_keys: `file:${project.dir}/callers.keys`, api_rate: 1, request_timeout_s: 1 };
    project.sections({ Answers: SECTION, Keyed: { ...SECTION, ...keys, route: 'keyed' } });
    head = await TestHead.start({ conf: project.conf });
    browser = await TestBrowser.start();
    page = await browser.open(head.dashboard);
    await page.fill('input[name=token]', head.token);
    await page.click('button[type=submit]');
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
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

  async function ask(body: object): Promise<void> {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(head.url('answers'), { method: 'POST', headers, body: JSON.stringify(body) });
    await answer.arrayBuffer();
  }

  async function type(text: string): Promise<void> {
    await page.locator('.cm-content').click();
    await page.keyboard.press('Control+A');
    await page.keyboard.insertText(text);
  }

  const conf = (): string => readFileSync(project.conf, 'utf8');
  const edited = () => page.locator('.cm-content');
  const form = () => page.getByRole('region', { name: 'Try it' });
  const log = () => page.getByRole('log', { name: 'Output' });

  async function send(body: string): Promise<void> {
    await form().locator('textarea').fill(body);
    await form().getByRole('button', { name: 'Send' }).click();
  }

  it('goes to the content of the page it is on', async () => {
    await show('events');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Events' }).waitFor();
    expect(await page.evaluate('document.activeElement.id')).toBe('main');
  });

  it('names what a page shows in its title, and each page that there is not', async () => {
    await show('configuration/history');
    await expect.poll(() => page.title(), WAIT).toBe('History of the configuration · modelserve');
    await page.goto(`${head.dashboard}#/nowhere`);
    await expect.poll(() => page.title(), WAIT).toBe('No such page · modelserve');
  });

  it('shows what an answer is: no text, a long one, none', async () => {
    await show('deployment/Answers');
    await send('{"kind": "bytes"}');
    await form().getByText('256 bytes').waitFor();
    await form().getByText('It is no text, and not shown.').waitFor();
    await send('{"kind": "large"}');
    await form().getByText('4.77 MiB').waitFor();
    const box = await form().locator('pre').first().boundingBox();
    expect(box?.height).toBeLessThan(500);
    await send('{"kind": ');
    await form().locator('.mistake').getByText('Not JSON').waitFor();
    await form().getByText('BAD_JSON').waitFor();
  });

  it('says why a request was refused, and when to try again', async () => {
    await show('deployment/Keyed');
    await send('{}');
    await form().getByText('this route needs an API key').waitFor();
    await form().getByLabel('API key').fill(KEY);
    await send('{"kind": "slow"}');
    await form().getByText('no answer of Keyed within 1 s').waitFor();
    // One a second: of two in a row the second is refused, unless the first was slow.
    const sendAgain = async (): Promise<number> => {
      await send('{}');
      await form().getByRole('button', { name: 'Cancel' }).waitFor({ state: 'detached' });
      return await form().getByText('Try again in 1 s.').count();
    };
    await expect.poll(sendAgain, WAIT).toBeGreaterThan(0);
    await form().getByText('has had its 1 requests a second (api_rate)').first().waitFor();
  });

  it('says how much the form sends, and shows a command that a terminal can take', async () => {
    await show('deployment/Answers');
    await send(`{"text": "${'x'.repeat(1_100_000)}"}`);
    await form().getByText('this form sends at most 1 MiB; use a terminal for more').waitFor();
    await form().getByText('-d @body.json').waitFor();
    await form().locator('textarea').fill('{}');
  });

  it('gives up a slow answer when it is told to, and keeps the last ones with what was asked', async () => {
    await show('deployment/Answers');
    await send('{"kind": "slow"}');
    await form().getByRole('button', { name: 'Cancel' }).click();
    await form().getByText('POST /answers: cancelled').waitFor();
    await show('events');
    await show('deployment/Answers');
    await form().getByText('POST /answers: cancelled').waitFor();
    await form().getByText('256 bytes').waitFor();
    expect(await form().locator('textarea').inputValue()).toBe('{"kind": "slow"}');
  });

  it('follows the output, stands still for who reads, and says how much came meanwhile', async () => {
    await show('deployment/Answers');
    await ask({ lines: 400 });
    await log().getByText('written 400', { exact: false }).waitFor();
    const scrolled =
      'const log = document.querySelector(".log"); log.scrollHeight - log.scrollTop - log.clientHeight';
    expect(await page.evaluate<number>(scrolled)).toBeLessThan(8);
    await log().evaluate((box) => {
      box.scrollTop = 0;
    });
    await page.getByRole('button', { name: 'Follow', pressed: false }).waitFor();
    await ask({ lines: 50 });
    await page.getByRole('button', { name: 'Follow: 50 new' }).waitFor();
    expect(await page.evaluate('document.querySelector(".log").scrollTop')).toBe(0);
    await page.getByRole('button', { name: 'Follow: 50 new' }).click();
    await log().getByText('written 450', { exact: false }).waitFor();
    expect(await page.evaluate<number>(scrolled)).toBeLessThan(8);
  });

  it('keeps what is marked in the output while more comes, and says when words are not found', async () => {
    await log().evaluate((box) => {
      const first = box.firstElementChild?.firstChild;
      const range = box.ownerDocument.createRange();
      if (first === null || first === undefined) return;
      range.setStart(first, 0);
      range.setEnd(first, 11);
      box.ownerDocument.getSelection()?.removeAllRanges();
      box.ownerDocument.getSelection()?.addRange(range);
    });
    const marked = await page.evaluate('getSelection().toString()');
    expect(marked).toHaveLength(11);
    await ask({ lines: 30 });
    await log().getByText('written 480', { exact: false }).waitFor();
    expect(await page.evaluate('getSelection().toString()')).toBe(marked);
    await page.getByLabel('Find in the output').fill('WRITTEN 47');
    // 47 was written before the page was there, perhaps, and is not among the last lines then.
    await page.getByText(/^1[01] lines with it$/).waitFor();
    await page.getByLabel('Find in the output').fill('nothing like it');
    await log().getByText('No line has these words.').waitFor();
  });

  it('says that requests fail, and what to do', async () => {
    for (let count = 0; count < 5; count += 1) await ask({ kind: 'fails' });
    await show('');
    await page.getByText('Requests for Answers fail').waitFor();
    await page.getByText('of those of the last minute').waitFor();
  });

  it('leads from a mistake to its line, and by keyboard out of the editor', async () => {
    await show('configuration');
    await type(conf().replace('route = answers', 'rout = answers'));
    await page.getByRole('button', { name: /Line \d · \[algopkg\.Answers\] rout/ }).click();
    await page.keyboard.type('route');
    await page.getByText('As in revision 1').waitFor();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Plan');
  });

  it('says why a text was not checked', async () => {
    await show('configuration');
    await type('#'.repeat(1_200_000));
    await page.getByText('Not checked: expected a body of at most 1 MiB').waitFor();
    await type('nonsense\n'.repeat(300));
    await page.getByText('300 mistakes').waitFor();
    await page.getByText('… and 288 more').waitFor();
  });

  it('keeps what is edited while one looks elsewhere, and drops it when told to', async () => {
    await show('configuration');
    await type(`${conf()}# mine\n`);
    await show('nodes');
    await page.getByRole('img', { name: 'edited, not applied' }).waitFor();
    await show('configuration');
    await edited().getByText('# mine').waitFor();
    await page.getByRole('button', { name: 'Drop my changes' }).click();
    await page.getByText('As in revision 1').waitFor();
    expect(await edited().getByText('# mine').count()).toBe(0);
  });

  it('puts an edited text on top of what somebody else has applied meanwhile', async () => {
    await show('configuration');
    await type(`${conf()}# mine\n`);
    project.sections({ Answers: { ...SECTION, max_queued_requests: 7 } });
    expect((await head.apply()).code).toBe(0);
    await page.getByText('Revision 2 has been applied meanwhile.').waitFor();
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.getByText('Nothing was changed').waitFor();
    await page.getByRole('button', { name: 'Put mine on top' }).click();
    await page.getByRole('button', { name: 'Plan' }).click();
    await page.getByText('max_queued_requests').waitFor();
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.getByText('Revision 3 is in force').waitFor();
    await page.getByText('As in revision 3').waitFor();
    await page.getByText('Revision 3 is in force').waitFor();
  });

  it('takes a later revision by itself where nothing is edited', async () => {
    project.sections({ Answers: { ...SECTION, max_queued_requests: 9 } });
    expect((await head.apply()).code).toBe(0);
    await page.getByText('As in revision 4').waitFor();
    await edited().getByText('max_queued_requests = 9').waitFor();
  });

  it('shows conf.ini of an earlier revision', async () => {
    await show('configuration/history');
    const first = page.locator('li').filter({ hasText: /^1/ });
    await first.getByRole('button', { name: 'Compare' }).click();
    await first.getByText('conf.ini of revision 1').click();
    await first.getByText('route = answers').waitFor();
  });

  it('says once that the head is away, keeps what it knows, and goes on when it is back', async () => {
    await show('deployment/Answers');
    await log().getByText('written 480', { exact: false }).waitFor();
    head.signal('SIGKILL');
    await head.ended();
    await page.getByText('The head does not answer.', { exact: false }).first().waitFor();
    expect(await log().getByText('written 480', { exact: false }).count()).toBe(1);
    for (const place of ['', 'events', 'configuration/history', 'configuration']) {
      await show(place);
      expect(await page.getByRole('alert').allInnerTexts()).toEqual([
        'The head does not answer. What is shown is what was known last.',
      ]);
      expect(await page.getByText('Failed to fetch').count()).toBe(0);
    }
    head.launch();
    await page.getByText('As in revision 4').waitFor();
    expect(await page.getByRole('alert').count()).toBe(0);
  });

  it('says what became of a change that failed, and where the way back is', async () => {
    project.package('Answers', `import nothing_like_it\n${ANSWERS}`);
    expect((await head.apply()).code).toBe(1);
    await show('');
    await page.getByText('Answers could not be changed: 1 of 1 ready').waitFor();
    await show('deployment/Answers');
    await page.getByText("No module named 'nothing_like_it'").first().waitFor();
    await page.getByRole('link', { name: 'Go back to an earlier revision' }).click();
    await page.getByText('serves Answers').waitFor();
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 360],
    ['dark', 360],
  ] as const)(
    'is accessible with mistakes, a plan, a failed change and answers: %s, %i px wide',
    async (colorScheme, width) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      const check = async (what: string): Promise<void> => {
        expect(await violationsOf(page), what).toEqual([]);
        const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
        expect(overflow, `${what}: wider than the window`).toBeLessThanOrEqual(0);
      };
      await show('configuration');
      await type(`${conf()}${'# a long line\n'.repeat(60)}`.replace('route = answers', 'rout = answers'));
      await page.getByText('1 mistake').waitFor();
      await check('mistakes');
      await type(conf().replace('route = answers', 'route = other'));
      await page.getByText('No mistakes').waitFor();
      await page.getByRole('button', { name: 'Plan' }).click();
      await page.getByText('This would change').waitFor();
      await check('plan');
      await page.getByRole('button', { name: 'Drop my changes' }).click();
      await show('configuration/history');
      await page.getByRole('button', { name: 'Compare' }).first().click();
      await page.getByText(/^conf.ini of revision/).click();
      await page.getByText('route = answers').waitFor();
      await check('history');
      await show('deployment/Answers');
      await page.getByText('Why the change failed').waitFor();
      await send('{"kind": "large"}');
      await form().getByText('4.77 MiB').first().waitFor();
      await check('failed change and answers');
    },
  );
});
