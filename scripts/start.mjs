// `npm start [-- head options]`: sets up what is missing, then is `modelserve head` with the repository's conf.ini.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT, setUp } from './setup.mjs';

setUp({ quiet: true });
const given = process.argv.slice(2);
const conf = given.some((word) => word === '--conf' || word.startsWith('--conf='))
  ? []
  : ['--conf', join(ROOT, 'conf.ini')];
const entry = join(ROOT, 'dist', 'cli', 'main.js');
process.argv = [process.execPath, entry, 'head', ...conf, ...given];
await import(pathToFileURL(entry).href);
