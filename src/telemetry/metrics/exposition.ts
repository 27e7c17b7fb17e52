import { BUCKET_COUNT, bucketEndS, countOf, type Histogram } from '../../cluster/metrics/histogram.ts';
import type { SizeHistogram } from '../../cluster/metrics/sizes.ts';

/** Names and values; values are escaped where they are written. */
export type Labels = Readonly<Record<string, string>>;

/** One value of a metric. */
export type Sample = readonly [labels: Labels, value: number];

/** Every doubling from half a millisecond to a minute: bounds that coincide with those of buckets. */
const BOUNDS: readonly number[] = Array.from({ length: BUCKET_COUNT }, (_, bucket) => bucket).filter(
  (bucket) => bucket % 4 === 0 && bucketEndS(bucket) >= 5e-4 && bucketEndS(bucket) <= 68,
);

/** Metrics in the Prometheus text format, version 0.0.4: a block for each name, with its help and type. */
export class Exposition {
  readonly #lines: string[] = [];

  counter(name: string, help: string, samples: readonly Sample[]): void {
    this.#block(name, 'counter', help, samples);
  }

  gauge(name: string, help: string, samples: readonly Sample[]): void {
    this.#block(name, 'gauge', help, samples);
  }

  histogram(name: string, help: string, samples: readonly (readonly [Labels, Histogram])[]): void {
    if (samples.length === 0) return;
    this.#head(name, 'histogram', help);
    for (const [labels, histogram] of samples) this.#buckets(name, labels, histogram);
  }

  /** @param bounds powers of two, ascending */
  sizes(
    {
      name,
      help,
      bounds,
    }: { readonly name: string; readonly help: string; readonly bounds: readonly number[] },
    samples: readonly (readonly [Labels, SizeHistogram])[],
  ): void {
    if (samples.length === 0) return;
    this.#head(name, 'histogram', help);
    for (const [labels, { sum, buckets }] of samples) {
      const countUpTo = (exponent: number): number =>
        buckets.reduce((count, value, place) => {
          const isCount = place % 2 === 1;
          return isCount && (buckets[place - 1] ?? 0) <= exponent ? count + value : count;
        }, 0);
      for (const bound of bounds) {
        this.#line(`${name}_bucket`, { ...labels, le: String(bound) }, countUpTo(Math.log2(bound)));
      }
      const count = countUpTo(Number.POSITIVE_INFINITY);
      this.#line(`${name}_bucket`, { ...labels, le: '+Inf' }, count);
      this.#line(`${name}_sum`, labels, sum);
      this.#line(`${name}_count`, labels, count);
    }
  }

  get text(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  #block(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): void {
    if (samples.length === 0) return;
    this.#head(name, type, help);
    for (const [labels, value] of samples) this.#line(name, labels, value);
  }

  #buckets(name: string, labels: Labels, histogram: Histogram): void {
    let place = 0;
    let below = 0;
    for (const bound of BOUNDS) {
      while (place < histogram.buckets.length && (histogram.buckets[place] ?? 0) <= bound) {
        below += histogram.buckets[place + 1] ?? 0;
        place += 2;
      }
      this.#line(`${name}_bucket`, { ...labels, le: String(bucketEndS(bound)) }, below);
    }
    const count = countOf(histogram);
    this.#line(`${name}_bucket`, { ...labels, le: '+Inf' }, count);
    this.#line(`${name}_sum`, labels, histogram.sumS);
    this.#line(`${name}_count`, labels, count);
  }

  #head(name: string, type: string, help: string): void {
    this.#lines.push(`# HELP ${name} ${help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')}`);
    this.#lines.push(`# TYPE ${name} ${type}`);
  }

  #line(name: string, labels: Labels, value: number): void {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    this.#lines.push(`${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${numberText(value)}`);
  }
}

function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (found) => (found === '\n' ? '\\n' : `\\${found}`));
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? '+Inf' : '-Inf';
}
