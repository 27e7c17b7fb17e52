// `node scripts/screenshots.mjs`: makes the pictures of the dashboard in docs/images, from a head that it starts with this
// folder's conf.ini on ports of its own, with some traffic. Needs Chromium.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { ROOT, setUp } from './setup.mjs';

const PORTS = { http: 18_431, dashboard: 18_432, store: 18_433 };
const PICTURES = [
  { name: 'overview', colorScheme: 'light', place: '', wait: 'main canvas' },
  { name: 'deployment', colorScheme: 'light', place: 'deployment/AlgoExample', wait: 'main canvas' },
  { name: 'nodes', colorScheme: 'dark', place: 'nodes', wait: '.gpu' },
  { name: 'configuration', colorScheme: 'light', place: 'configuration', wait: '.cm-content' },
];
const TRAFFIC_MS = 60_000;
let isOver = false;

setUp({ quiet: true });
const folder = mkdtempSync(join(tmpdir(), 'modelserve-pictures-'));
for (const name of ['algopkg', 'Model_ZOO'])
  cpSync(join(ROOT, name), join(folder, name), { recursive: true });
// Slices of GPUs to be seen.
const conf = readFileSync(join(ROOT, 'conf.ini'), 'utf8')
  .replace('gpu_cost = 0', 'gpu_cost = 0.6')
  .replace('route = digits', 'route = digits\ngpu_cost = 0.25')
  .replace('route = iris', 'route = iris\ngpu_cost = 0.125');
writeFileSync(join(folder, 'conf.ini'), conf);
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
  const clients = traffic();
  await delay(TRAFFIC_MS);
  await takePictures(readFileSync(join(state, 'token'), 'utf8').trim());
  isOver = true;
  await clients;
} finally {
  isOver = true;
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

/** Waves of requests, each with its own words and a mistake now and then, until the pictures are taken. */
async function traffic() {
  const texts = [
    'Ada Lovelace met Charles Babbage in London on 5 June 1833.',
    'Paid $300 to Grace Hopper.',
    '',
  ];
  for (let wave = 0; !isOver; wave += 1) {
    const sizes = [
      ['extract', 4 + Math.round(3 * Math.sin(wave / 40)), { text: texts[wave % texts.length] }],
      ['iris', 1 + (wave % 3), exampleOf('IrisTs')],
      ['digits', wave % 2, wave % 50 === 1 ? { pixels: 'none' } : exampleOf('Digits')],
    ];
    await Promise.all(
      sizes.flatMap(([route, count, body]) => Array.from({ length: count }, () => ask(route, body))),
    );
    await delay(30);
  }
}

function exampleOf(name) {
  return JSON.parse(readFileSync(join(folder, 'algopkg', name, 'example.json'), 'utf8'));
}

async function ask(route, body) {
  const headers = { 'content-type': 'application/json' };
  const url = `http://127.0.0.1:${PORTS.http}/${route}`;
  await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) }).then((answer) => answer.text());
}

/** In the page: whether figures have come to its charts, where it has any. */
function isDrawn() {
  const legends = [...document.querySelectorAll('main .legend')];
  return legends.length === 0 || legends.some((legend) => /\d/.test(legend.textContent));
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
      await page.waitForFunction(isDrawn);
      await page.screenshot({ path: join(images, `${name}-${colorScheme}.png`) });
    }
    await page.close();
  }
  await browser.close();
}
