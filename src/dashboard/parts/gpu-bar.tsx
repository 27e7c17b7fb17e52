import type { GpuStatus } from '../../cluster/status/types.ts';
import { linkTo } from '../app/router.ts';
import { percentText } from '../app/words.ts';
import { colorOf } from './hue.ts';

export interface Slice {
  readonly deployment: string;
  readonly replica: string;
  /** of the card, 0 to 1 */
  readonly fraction: number;
}

/** One card as a picture: a slice for each replica on it, hatched what is free. */
export function GpuBar({ gpu, slices }: { readonly gpu: GpuStatus; readonly slices: readonly Slice[] }) {
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
        {slices.map(({ deployment, replica, fraction }) => (
          <a
            key={replica}
            href={linkTo('replicas', replica)}
            style={{ width: `${fraction * 100}%`, background: colorOf(deployment) }}
            title={`${replica}: ${percentText(fraction)}`}
            aria-label={`${replica} has ${percentText(fraction)}`}
          >
            {fraction >= 0.15 ? deployment : ''}
          </a>
        ))}
      </div>
      {gpu.reason !== null && <p class="small quiet">{gpu.reason}</p>}
    </div>
  );
}
