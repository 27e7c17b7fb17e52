import { readFileSync } from 'node:fs';

/**
 * The backend that the reference's users copy, as it is but for the import of numpy, which it does not use and not
 * every interpreter has.
 */
export const referenceTemplate = readFileSync(
  new URL('../../fixtures/reference-backend.py', import.meta.url),
  'utf8',
).replace('import numpy as np\n', '');
