// `node scripts/screenshots.mjs`: makes the pictures of the dashboard in docs/images, from a head that it starts with this
// folder's conf.ini on ports of its own, with some traffic. Needs Chromium.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { ROOT, setUp } from './setup.mjs';

const PORTS = { http: 18_431, dashboard: 18_432, store: 18_433 };
const PICTURES = [
  { name: 'overview', colorScheme: 'light', place: '', wait: 'main canvas' },
  { name: 'deployment', colorScheme: 'light', place: 'deployment/AlgoExample', wait: 'main canvas' },
  { name: 'nodes', colorScheme: 'dark', place: 'nodes', wait: '.gpu' },
  { name: 'configuration', colorScheme: 'light', place: 'configuration', wait: '.cm-content' },
];
const TRAFFIC_MS = 45_000;

setUp({ quiet: true });
const folder = mkdtempSync(join(tmpdir(), 'modelserve-pictures-'));
for (const name of ['algopkg', 'Model_ZOO', 'conf.ini'])
  cpSync(join(ROOT, name), join(folder, name), { recursive: true });
const state = join(folder, 'state');
const head = spawn(
  process.execPath,
  [
    ...[
      join(ROOT, 'dist', 'cli', 'main.js'),
      'head',
      '--conf',
      join(folder, 'conf.ini'),
      '--state-dir',
      state,
    ],
    ...[
      '--num-gpus',
      '2',
      '--port',
      PORTS.store,
      '--http-port',
      PORTS.http,
      '--dashboard-port',
      PORTS.dashboard,
    ],
  ].map(String),
  { stdio: ['ignore', 'pipe', 'inherit'] },
);
try {
  await said(head, /^ready/m);
  await traffic(Date.now() + TRAFFIC_MS);
  await takePictures(readFileSync(join(state, 'token'), 'utf8').trim());
} finally {
  head.kill('SIGINT');
  await new Promise((resolve) => head.once('close', resolve));
  rmSync(folder, { recursive: true, force: true });
}

async function said(child, words) {
  let text = '';
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    text += chunk;
    if (words.test(text)) break;
  }
  child.stdout.resume();
}

async function traffic(untilMs) {
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ text: 'Ada Lovelace met Charles Babbage in London on 5 June 1833.' });
  while (Date.now() < untilMs) {
    await Promise.all(
      Array.from({ length: 1 + Math.floor(Math.random() * 12) }, () =>
        fetch(`http://127.0.0.1:${PORTS.http}/extract`, { method: 'POST', headers, body }).then((answer) =>
          answer.text(),
        ),
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

async function takePictures(token) {
  const images = join(ROOT, 'docs', 'images');
  mkdirSync(images, { recursive: true });
  const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((path) => existsSync(path));
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  for (const colorScheme of ['light', 'dark']) {
    const page = await browser.newPage({ colorScheme, viewport: { width: 1280, height: 860 } });
    await page.goto(`http://127.0.0.1:${PORTS.dashboard}/`);
    await page.fill('input[name=token]', token);
    await page.click('button[type=submit]');
    for (const { name, place, wait } of PICTURES.filter((picture) => picture.colorScheme === colorScheme)) {
      await page.goto(`http://127.0.0.1:${PORTS.dashboard}/#/${place}`);
      await page.locator(wait).first().waitFor();
      await page.screenshot({ path: join(images, `${name}-${colorScheme}.png`) });
    }
    await page.close();
  }
  await browser.close();
}
