// Sets up what is missing, and only that: npm packages (as the lockfile says) and the build. Needs nothing but Node.
// Used by `npm start`, `npm test`, CI and the docker image; `node scripts/setup.mjs` alone does just the set-up.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MIN_NODE = [20, 19];

/** @param {{quiet?: boolean}} [options] quiet: say nothing when there is nothing to do */
export function setUp(options = {}) {
  requireNode();
  const didPackages = setUpPackages();
  const didBuild = setUpBuild();
  if (!didPackages && !didBuild && !options.quiet) say('nothing to set up');
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) return;
  fail(`this is Node ${process.versions.node}, modelserve needs ${MIN_NODE.join('.')} or newer`);
}

function setUpPackages() {
  const stamp = join(ROOT, 'node_modules', '.modelserve-packages');
  const wanted = hashFiles([join(ROOT, 'package-lock.json'), join(ROOT, 'package.json')]);
  if (readIfThere(stamp) === wanted || isLink(join(ROOT, 'node_modules'))) return false;
  say('installing npm packages (once) …');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  const bin = join(ROOT, 'node_modules', '.bin', 'modelserve');
  rmSync(bin, { force: true });
  symlinkSync('../../dist/cli/main.js', bin); // so that `npx modelserve …` works in a clone
  writeFileSync(stamp, wanted);
  return true;
}

function setUpBuild() {
  const stamp = join(ROOT, 'dist', '.modelserve-build');
  const sources = filesBelow(join(ROOT, 'src')).filter((file) =>
    /\.([ch]|tsx?|css|html|svg|json)$/.test(file),
  );
  const wanted = hashFiles([...sources, join(ROOT, 'tsconfig.json'), join(ROOT, 'package-lock.json')]);
  if (readIfThere(stamp) === wanted) return false;
  say('building …');
  rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
  run(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', ROOT]);
  chmodSync(join(ROOT, 'dist', 'cli', 'main.js'), 0o755);
  setUpPreloadLibrary();
  buildDashboard();
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  writeFileSync(stamp, wanted);
  return true;
}

/** Everything but streaming works without it. */
function setUpPreloadLibrary() {
  const { status, stderr } = spawnSync(process.execPath, [join(ROOT, 'dist', 'cli', 'main.js'), 'preload'], {
    encoding: 'utf8',
  });
  if (status !== 0) say(`models cannot be streamed into running programs: ${stderr.trim()}`);
}

/** The pages that the head serves on port 8265, each file also compressed. */
function buildDashboard() {
  const vite = join(ROOT, 'node_modules', 'vite', 'bin', 'vite.js');
  const source = join(ROOT, 'src', 'dashboard');
  run(process.execPath, [
    vite,
    'build',
    source,
    '--config',
    join(source, 'vite.config.ts'),
    '--logLevel',
    'warn',
  ]);
  for (const file of filesBelow(join(ROOT, 'dist', 'dashboard')).filter((one) =>
    /\.(js|css|html|svg)$/.test(one),
  )) {
    const bytes = readFileSync(file);
    writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }));
    writeFileSync(`${file}.br`, brotliCompressSync(bytes));
  }
}

function run(command, args) {
  const result = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  if (result.error) fail(`cannot run ${command}: ${result.error.message}`);
  if (result.status !== 0)
    fail(`${command} ${args.join(' ')} ended with code ${result.status}; see its output above`);
}

function hashFiles(files) {
  const digest = createHash('sha256');
  for (const file of [...files].sort())
    digest.update(relative(ROOT, file)).update('\0').update(readFileSync(file)).update('\0');
  return digest.digest('hex');
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

/** A `node_modules` that is a link belongs to another checkout: it is used as it is, and only its owner changes it. */
function isLink(path) {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

function readIfThere(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : null;
}

function say(text) {
  process.stderr.write(`[setup] ${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setUp();
