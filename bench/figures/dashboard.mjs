// The dashboard of a large cluster, in a browser that goes through its pages while everything changes: how soon the first page
// can be used, what it weighs, and how long the page is ever busy. And what a day of measurements takes in the head.
import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { ROOT } from '../lib/paths.mjs';
import { runToEnd } from '../lib/processes.mjs';
import { judged } from './row.mjs';

const TOKEN = 'mst_of-the-bench';
const SIZES = { deployments: 200, nodes: 100, replicas: 1_000 };
/** of measurements that are there when the first page is opened */
const HOURS = 0.05;
const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'];
const PAGES = ['', 'deployments', 'deployment/Model001', 'nodes', 'replicas/Model001-1', 'events'];
/** on each page: two ticks of measurements and eight looks at the cluster */
const STAY_MS = 4_000;
const MB = 1e6;
const TIMEOUT_MS = 300_000;

/** Notes tasks that keep the page busy, and when what it is about is drawn and it answers again. */
const WATCH = `
  window.longTasks = [];
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) window.longTasks.push({ startTime, duration });
  }).observe({ type: 'longtask', buffered: true });
  new MutationObserver((_, observer) => {
    if (document.querySelector('main td a') === null) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => { window.usableMs = performance.now(); }, 0));
  }).observe(document, { childList: true, subtree: true });`;

/** @param {import('./head.mjs').Context} context */
export async function dashboard(context) {
  const executablePath = BROWSERS.find((path) => existsSync(path));
  const inPages = executablePath === undefined ? [notMeasured()] : await inBrowser(context, executablePath);
  return [...inPages, ...(await seriesMemory(context))];
}

const TASKS = 'the dashboard with 200 deployments, 100 nodes, 1,000 replicas: longest task';

function notMeasured() {
  return judged({
    what: TASKS,
    unit: 'ms',
    atMost: 50,
    values: [],
    note: 'there is no chromium on this machine',
  });
}

async function inBrowser(context, executablePath) {
  const head = await startSyntheticHead(context);
  const browser = await chromium.launch({ executablePath, args: QUIET });
  context.workspace.own({ stop: async () => await browser.close() });
  const rounds = [];
  for (let round = 1; round <= context.rounds; round += 1) {
    rounds.push(await throughPages(browser, head.url));
    const worst = rounds.at(-1).tasks.map(({ place, longestMs }) => `${place || 'overview'} ${longestMs}`);
    context.say(`  round ${round}: longest tasks in ms: ${worst.join(', ')}`);
  }
  const busy = await head.cpuShare();
  const tasks = rounds.flatMap((one) => one.tasks);
  const worst = tasks.reduce((most, one) => (one.longestMs > most.longestMs ? one : most));
  const of = (pick) => rounds.map(pick);
  return [
    judged({
      ...{ what: 'the dashboard’s first page can be used after', unit: 's', atMost: 1 },
      values: of(({ usableMs }) => usableMs / 1000),
    }),
    judged({
      ...{ what: 'the dashboard’s first page, compressed', unit: 'kB', atMost: 80 },
      values: of(({ bytes }) => bytes / 1000),
    }),
    judged({
      ...{ what: TASKS, unit: 'ms', atMost: 50, values: of((one) => Math.max(...longest(one))) },
      note: `of each round, over ${PAGES.length} pages of ${STAY_MS / 1000} s; the longest of all on ${worst.place || 'overview'}`,
    }),
    judged({
      ...{
        what: 'the same: CPU of the head’s admin server, one browser watching',
        unit: '% of a core',
        atMost: 25,
      },
      values: [busy * 100],
    }),
  ];
}

function longest({ tasks }) {
  return tasks.map(({ longestMs }) => longestMs);
}

async function throughPages(browser, url) {
  // The page's policy allows no script that it has not sent, and what waits for it to be usable is one.
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, bypassCSP: true });
  await context.addInitScript(WATCH);
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  await page.goto(url);
  await page.fill('input[name=token]', TOKEN);
  await page.click('button[type=submit]');
  await page.locator('main td a').first().waitFor();
  await page.reload(); // logged in, the browser's cache warm with nothing but code
  await page.waitForFunction('window.usableMs !== undefined');
  const { usableMs } = await page.evaluate('({ usableMs: window.usableMs })');
  const tasks = [];
  for (const place of PAGES) tasks.push({ place, longestMs: await stay(page, url, place) });
  const bytes = await firstPageBytes(browser, url);
  await context.close();
  return { usableMs, bytes, tasks };
}

/** Looks at a page for a while: scrolls through it, and looks for something where it can be looked for. */
async function stay(page, url, place) {
  await page.evaluate('window.longTasks.length = 0');
  await page.goto(`${url}#/${place}`);
  await page.locator('main h1').waitFor();
  const untilMs = Date.now() + STAY_MS;
  while (Date.now() < untilMs) {
    await page.mouse.wheel(0, 500);
    const find = page.locator('main input[type=search]').first();
    if ((await find.count()) > 0) await find.fill(Date.now() % 2 === 0 ? 'model01' : '');
    await page.waitForTimeout(200);
  }
  const tasks = await page.evaluate('window.longTasks');
  return Math.round(Math.max(0, ...tasks.map(({ duration }) => duration)));
}

/** What a browser that has never been here is sent before it can log in. */
async function firstPageBytes(browser, url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(url);
  await page.locator('input[name=token]').waitFor();
  const bytes = await page.evaluate(`performance.getEntriesByType('navigation')
    .concat(performance.getEntriesByType('resource').filter(({ name }) => !name.includes('/api/')))
    .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)`);
  await context.close();
  return bytes;
}

async function startSyntheticHead({ workspace }) {
  const program = join(ROOT, 'bench', 'programs', 'node', 'synthetic-head.mjs');
  const words = [program, TOKEN, SIZES.deployments, SIZES.nodes, SIZES.replicas, HOURS].map(String);
  const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  workspace.own({ stop: async () => void child.kill() });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value: port } = await lines.next();
  return {
    url: `http://127.0.0.1:${port}/`,
    cpuShare: async () => {
      child.stdin.write('\n');
      return JSON.parse((await lines.next()).value).cpuShare;
    },
  };
}

async function seriesMemory({ workspace }) {
  const program = join(ROOT, 'bench', 'programs', 'node', 'series-memory.mjs');
  const file = join(workspace.newFolder(), 'series.gz');
  const taken = [];
  for (const task of ['fill', 'load']) {
    const { code, output } = await runToEnd(process.execPath, ['--expose-gc', program, task, file], {
      timeoutMs: TIMEOUT_MS,
    });
    if (code !== 0) throw new Error(`${program} ${task} ended with ${code}: ${output}`);
    taken.push(Number(output) / MB);
  }
  const what = '24 hours at 10 s of 200 deployments, every kind of error all the time';
  const note = `heap and buffers; the file has ${Math.round(statSync(file).size / MB)} MB`;
  return [
    judged({ what: `${what}: memory`, unit: 'MB', atMost: 100, values: taken.slice(0, 1), note }),
    judged({ what: `${what}: memory after a restart`, unit: 'MB', atMost: 100, values: taken.slice(1) }),
  ];
}
