// `npm run check`: format and lint, types of source, tests and bench, layers, dead code, sizes. Runs all, then says what failed.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { cruise } from 'dependency-cruiser';
import { ROOT, setUp } from './setup.mjs';

/** A check that looked at nothing must not pass: the layer check asserts that it saw about what is there. */
const SOURCE_FILES = filesBelow(join(ROOT, 'src'));
const MAX_LINES = 400;

setUp({ quiet: true });
const failed = [];
tool('biome', ['ci', '--error-on-warnings', '.']);
tool('tsc', ['--noEmit', '-p', '.']);
tool('tsc', ['--noEmit', '-p', 'test']);
tool('tsc', ['--noEmit', '-p', 'bench']);
tool('tsc', ['--noEmit', '-p', 'src/dashboard']);
tool('knip', []);
await check('layers', checkLayers);
await check('sizes', checkSizes);
await check('purity', checkPurity);
if (failed.length > 0) {
  process.stderr.write(`\nfailed: ${failed.join(', ')}\n`);
  process.exit(1);
}
process.stdout.write('all checks passed\n');

function tool(name, args) {
  const label = [name, ...args].join(' ');
  const { status } = spawnSync(join(ROOT, 'node_modules', '.bin', name), args, {
    cwd: ROOT,
    stdio: 'inherit',
  });
  process.stdout.write(`${status === 0 ? 'ok  ' : 'FAIL'} ${label}\n`);
  if (status !== 0) failed.push(label);
}

async function check(name, run) {
  const problems = await run();
  process.stdout.write(`${problems.length === 0 ? 'ok  ' : 'FAIL'} ${name}\n`);
  for (const problem of problems) process.stdout.write(`     ${problem}\n`);
  if (problems.length > 0) failed.push(name);
}

async function checkLayers() {
  const rules = createRequire(import.meta.url)('./layers.cjs');
  process.chdir(ROOT);
  const { output } = await cruise(['src'], {
    ...rules.options,
    ruleSet: { forbidden: rules.forbidden },
    validate: true,
  });
  const seen = output.modules.filter(
    (module) => module.source.startsWith('src/') && isTypeScript(module.source),
  ).length;
  const there = SOURCE_FILES.filter(isTypeScript).length;
  const problems = output.summary.violations.map((one) => `${one.rule.name}: ${one.from} → ${one.to}`);
  if (seen !== there) problems.push(`saw ${seen} of ${there} source files`);
  else process.stdout.write(`     ${seen} files, ${output.summary.totalDependenciesCruised} imports\n`);
  return problems;
}

function checkSizes() {
  return SOURCE_FILES.filter((file) => /\.(tsx?|css|py|lua|[ch])$/.test(file))
    .map((file) => ({ file, lines: readFileSync(file, 'utf8').split('\n').length - 1 }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ file, lines }) => `${relative(ROOT, file)}: ${lines} lines, at most ${MAX_LINES}`);
}

/** What the linter cannot deny by name: randomness and clocks reached through other objects. */
function checkPurity() {
  return SOURCE_FILES.filter((file) => relative(ROOT, file).startsWith('src/cluster/'))
    .filter((file) => /Math\.random|new Date\b|Date\.now/.test(readFileSync(file, 'utf8')))
    .map((file) => `${relative(ROOT, file)}: randomness or a clock in a pure layer`);
}

function isTypeScript(file) {
  return /\.tsx?$/.test(file);
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}
