// `npm run bench`: measures modelserve beside other servers and says whether it reaches its targets. See `--help`.
import { setUp } from '../scripts/setup.mjs';
import { CONTESTANTS } from './contestants/all.mjs';
import { FIGURES, runFigures } from './figures/all.mjs';
import { rowsFromMatrix } from './figures/from-matrix.mjs';
import { Workspace } from './lib/workspace.mjs';
import { readOptions, USAGE } from './options.mjs';
import { tablesOf } from './report/page.mjs';
import { circumstances, PAGE, writeReport, writeResults } from './results.mjs';
import { runMatrix } from './run.mjs';

const say = (line) => process.stderr.write(`${line}\n`);

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    say('interrupted: ending what was started');
    await Workspace.endAll();
    process.exit(1);
  });
}

try {
  await main(readOptions(process.argv.slice(2)));
} catch (error) {
  say(error.message);
  process.exitCode = 1;
}

async function main(options) {
  if (options.mode === 'help') return process.stdout.write(USAGE);
  if (options.mode === 'report') return writeReport();
  setUp({ quiet: true });
  const { plan, contestants, figures } = options;
  const known = circumstances(plan);
  const matrix = await runMatrix({ plan, contestants, say });
  const special = await runFigures({ figures, plan, say });
  const results = {
    ...known,
    ...matrix,
    targets: [...(contestants.length === 0 ? [] : rowsFromMatrix(matrix)), ...special],
  };
  process.stdout.write(`${tablesOf(results)}\n`);
  if (isKept(options)) {
    writeResults(results);
    say(`written: bench/results/, ${PAGE}`);
  } else say('nothing written: a part of the whole, or --quick; --keep writes it all the same');
}

function isKept({ keep, plan, contestants, figures, isGroups }) {
  const isWhole = contestants.length === CONTESTANTS.length && figures.length === FIGURES.length;
  return keep || ((isWhole || isGroups) && plan.size !== 'quick');
}
