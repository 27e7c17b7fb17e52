import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const PROGRAMS = fileURLToPath(new URL('../programs', import.meta.url));
export const RESULTS = fileURLToPath(new URL('../results', import.meta.url));
/** What has to be built before modelserve can take part. */
export const CLI = join(ROOT, 'dist', 'cli', 'main.js');
