import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '../../support/temp-dir.ts';

export interface FakeDriver {
  /** to be put before the PATH */
  readonly path: string;
  readonly becomes: (next: string) => void;
}

/** A driver whose nvidia-smi does what the test says next. */
export function fakeDriver(script: string): FakeDriver {
  const path = tempDir();
  const becomes = (next: string): void =>
    writeFileSync(join(path, 'nvidia-smi'), `#!/bin/sh\n${next}\n`, { mode: 0o755 });
  becomes(script);
  return { path, becomes };
}
