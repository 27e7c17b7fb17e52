import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A driver with one card, of 20,000 MiB, that every process uses which was started with this card as its only one. */
export interface FakeCard {
  /** where its nvidia-smi is to be put */
  readonly folder: string;
  readonly uuid: string;
  /** of each process */
  readonly usedMib: number;
}

/** @returns a PATH with the fake first */
export function fakeNvidiaSmi({ folder, uuid, usedMib }: FakeCard): string {
  const script = `#!/bin/sh
if [ "$1" = pmon ]; then
  echo '# gpu        pid  type    sm   mem   enc   dec    fb   command'
  echo '# Idx          #   C/G     %     %     %     %    MB   name'
  grep -lzx 'CUDA_VISIBLE_DEVICES=${uuid}' /proc/[0-9]*/environ 2>/dev/null |
    sed 's,/proc/\\(.*\\)/environ,    0  \\1     C    20     2     -     -  ${usedMib}   python,'
else
  echo '0, ${uuid}, Fake H200, 20000, 12345, 40'
fi
`;
  writeFileSync(join(folder, 'nvidia-smi'), script, { mode: 0o755 });
  return `${folder}:${process.env['PATH'] ?? ''}`;
}
