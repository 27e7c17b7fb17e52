import type { GpuDetail } from '../../admin/types.ts';
import { sizeText } from '../../cluster/placement/amounts.ts';
import { usePolled } from '../app/use-polled.ts';
import { percentText } from '../app/words.ts';
import { Badge } from './badge.tsx';
import { Card } from './card.tsx';
import { filledShare, isOverShare } from './gpu-bar.tsx';
import { Scroll } from './scroll.tsx';

const EVERY_MS = 10_000;

/** The GPUs that a replica has a share of, or uses, and how much of it; nothing where there are none. */
export function ReplicaGpus({ replica }: { readonly replica: string }) {
  const query = `gpus?replica=${encodeURIComponent(replica)}`;
  const { data } = usePolled<{ readonly gpus: readonly GpuDetail[] }>(query, EVERY_MS);
  const rows = (data?.gpus ?? []).flatMap((gpu) =>
    gpu.replicas.filter((one) => one.replica === replica).map((use) => ({ gpu, use })),
  );
  if (rows.length === 0) return null;
  return (
    <Card title="GPUs">
      <Scroll name="GPUs">
        <table>
          <thead>
            <tr>
              <th scope="col">GPU</th>
              {['Share', 'Memory used', 'Of its share', 'Busy'].map((name) => (
                <th key={name} scope="col" class="number">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ gpu, use }) => (
              <tr key={gpu.uuid}>
                <td>
                  {gpu.index} <span class="quiet">{gpu.name}</span>
                </td>
                <td class="number">{percentText(use.fraction)}</td>
                <td class="number">{known(use.memory_used_bytes, sizeText)}</td>
                <td class="number">
                  {known(use.memory_share_bytes, sizeText)}{' '}
                  {isOverShare(use) && <Badge tone="bad">over it</Badge>}
                  {!isOverShare(use) && known(filledShare(use), (share) => `(${percentText(share)})`, '')}
                </td>
                <td class="number">{known(use.busy, percentText)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {rows.every(({ use }) => use.memory_used_bytes === null) && (
        <p class="quiet small">The driver does not say what it uses.</p>
      )}
    </Card>
  );
}

function known(value: number | null, text: (value: number) => string, without = '–'): string {
  return value === null ? without : text(value);
}
