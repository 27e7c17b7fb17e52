import type { GpuDetail, ReplicaGpu } from '../../admin/types.ts';
import { sizeText } from '../../cluster/placement/amounts.ts';
import type { GpuStatus } from '../../cluster/status/types.ts';
import { linkTo } from '../app/router.ts';
import { percentText } from '../app/words.ts';
import { Badge } from './badge.tsx';
import { colorOf } from './hue.ts';

export interface Slice {
  readonly deployment: string;
  readonly replica: string;
  /** of the card, 0 to 1 */
  readonly fraction: number;
}

interface GpuBarProps {
  readonly gpu: GpuStatus;
  readonly slices: readonly Slice[];
  /** what its node measured; null: not known yet */
  readonly use: GpuDetail | null;
}

/** One card as a picture: a slice for each replica on it, with a line for what it uses of its memory; hatched what is free. */
export function GpuBar({ gpu, slices, use }: GpuBarProps) {
  const uses = use?.replicas ?? [];
  return (
    <div class="gpu">
      <div class="row small">
        <strong>GPU {gpu.index}</strong>
        <span class="quiet">{gpu.name}</span>
        <span class="number" style={{ marginLeft: 'auto' }}>
          {gpu.usable ? `${percentText(gpu.free)} free` : 'not usable'}
        </span>
      </div>
      <div class="slices">
        {slices.map((slice) => (
          <SliceLink
            key={slice.replica}
            slice={slice}
            use={uses.find(({ replica }) => replica === slice.replica) ?? null}
          />
        ))}
      </div>
      {use !== null && use.memory_used_bytes !== null && (
        <p class="small quiet number">
          {amountText(use.memory_used_bytes, use.memory_bytes)} in use
          {use.busy !== null && `, ${percentText(use.busy)} busy`}
        </p>
      )}
      {uses.filter(isOverShare).map((one) => (
        <div key={one.replica} class="row small">
          <Badge tone="bad">over its share</Badge>
          <a href={linkTo('replicas', one.replica)}>{one.replica}</a>
          <span>uses {amountText(one.memory_used_bytes, one.memory_share_bytes)}</span>
        </div>
      ))}
      {gpu.reason !== null && <p class="small quiet">{gpu.reason}</p>}
    </div>
  );
}

function SliceLink({
  slice: { deployment, replica, fraction },
  use,
}: {
  readonly slice: Slice;
  readonly use: ReplicaGpu | null;
}) {
  const filled = use === null ? null : filledShare(use);
  const says = [percentText(fraction), ...(use === null ? [] : wordsOf(use))].join('; ');
  return (
    <a
      href={linkTo('replicas', replica)}
      style={{ width: `${fraction * 100}%`, background: colorOf(deployment) }}
      title={`${replica}: ${says}`}
      aria-label={`${replica} has ${says}`}
    >
      {fraction >= 0.15 ? deployment : ''}
      {filled !== null && <i style={{ width: `${Math.min(1, filled) * 100}%` }} />}
    </a>
  );
}

/** What is known of it: nothing of a declared card, or where its driver does not say. */
function wordsOf(use: ReplicaGpu): readonly string[] {
  const { memory_used_bytes: used, memory_share_bytes: share, busy } = use;
  return [
    ...(used === null ? [] : [`uses ${amountText(used, share)} of memory`]),
    ...(busy === null ? [] : [`${percentText(busy)} busy`]),
  ];
}

function amountText(usedBytes: number, ofBytes: number | null): string {
  return ofBytes === null ? sizeText(usedBytes) : `${sizeText(usedBytes)} of ${sizeText(ofBytes)}`;
}

/** Of the memory that a replica may use, what it uses; null: not known. More than 1: more than its share. */
export function filledShare({
  memory_used_bytes: used,
  memory_share_bytes: share,
}: Pick<ReplicaGpu, 'memory_used_bytes' | 'memory_share_bytes'>): number | null {
  if (used === null || share === null) return null;
  return share === 0 ? Number.POSITIVE_INFINITY : used / share;
}

export function isOverShare(use: ReplicaGpu): use is ReplicaGpu & { readonly memory_used_bytes: number } {
  return (filledShare(use) ?? 0) > 1;
}
