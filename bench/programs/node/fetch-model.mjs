// Fetches a model as an apply does, its SHA-256 with it, and keeps it in a folder; prints the seconds that took.
// fetch-model.mjs ORIGIN SMALL LARGE FOLDER
import { join } from 'node:path';
import { ROOT } from '../../lib/paths.mjs';

const dist = join(ROOT, 'dist');
const { RemoteModels } = await import(join(dist, 'models', 'remote-models.js'));
const { ContentStore } = await import(join(dist, 'lib', 'content', 'content-store.js'));
const { silentLog } = await import(join(dist, 'lib', 'log.js'));

const [origin, small, large, folder] = process.argv.slice(2);
const [recordsDir, filesDir, partialDir, digestsDir] = ['records', 'models', 'partial', 'digests'].map(
  (name) => join(folder, name),
);
const store = new ContentStore({ recordsDir, filesDir });
const models = new RemoteModels({ variables: {}, partialDir, digestsDir }, { store, log: silentLog });
const how = { isDryRun: false, signal: new AbortController().signal };
await models.obtain(`${origin}${small}`, how); // threads are started once in the life of a head
const startedMs = performance.now();
await models.obtain(`${origin}${large}`, how);
process.stdout.write(`${(performance.now() - startedMs) / 1000}\n`);
await models.stop();
