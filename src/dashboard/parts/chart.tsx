import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { inTurn } from '../app/in-turn.ts';
import { isDark } from '../app/theme.ts';
import 'uplot/dist/uPlot.min.css';

export interface Line {
  readonly name: string;
  readonly values: readonly (number | null)[];
  /** index into the palette; by its place where not given */
  readonly color?: number;
}

interface ChartProps {
  readonly title: string;
  /** seconds since 1970 */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  readonly text: (value: number | null) => string;
  readonly heightPx?: number;
}

const PALETTE = {
  light: ['#4338ca', '#0e8f8f', '#c2570c', '#b42323', '#7a5ea8', '#b8860b', '#1f6fb2', '#5c6470'],
  dark: ['#a5a0ff', '#4fd1c5', '#f6ad55', '#ff9790', '#c9a9ff', '#e6c84f', '#7ab8f5', '#a8b0bd'],
};

/** A picture of values over time; beside it the last ones as text, which is what a screen reader has of it. */
export function Chart({ title, times, lines, text, heightPx = 150 }: ChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef({ times, lines });
  newest.current = { times, lines };
  const colors = isDark.value ? PALETTE.dark : PALETTE.light;
  const isEmpty = lines.every(({ values }) => values.every((value) => value === null));
  const shape = `${lines.map(({ name }) => name).join()}|${isDark.value}|${heightPx}|${isEmpty}`;
  useEffect(() => {
    const element = host.current;
    if (element === null || isEmpty) return;
    const resized = new ResizeObserver(([entry]) => {
      if (entry !== undefined)
        plot.current?.setSize({ width: Math.max(80, entry.contentRect.width), height: heightPx });
    });
    const withdraw = inTurn(() => {
      const { times: now, lines: drawn } = newest.current;
      plot.current = draw(element, { lines: drawn, colors, text, heightPx }, dataOf(now, drawn));
      resized.observe(element);
    });
    return () => {
      withdraw();
      resized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(dataOf(times, lines)), [times, lines]);
  return (
    <figure class="chart">
      <figcaption class="head">
        <h3>{title}</h3>
        <span class="legend">
          {lines.map((line, index) => (
            <span key={line.name}>
              <i style={{ background: colors[line.color ?? index] }} />
              <span class="quiet">{line.name}</span> <span class="number">{text(lastOf(line.values))}</span>
            </span>
          ))}
        </span>
      </figcaption>
      {isEmpty ? (
        <p class="empty small" style={{ minHeight: heightPx }}>
          Nothing was measured in this time.
        </p>
      ) : (
        <div ref={host} aria-hidden="true" style={{ minHeight: heightPx }} />
      )}
    </figure>
  );
}

function draw(
  host: HTMLElement,
  {
    lines,
    colors,
    text,
    heightPx,
  }: {
    readonly lines: readonly Line[];
    readonly colors: readonly string[];
    readonly text: ChartProps['text'];
    readonly heightPx: number;
  },
  data: uPlot.AlignedData,
): uPlot {
  const styles = getComputedStyle(document.documentElement);
  const grid = { stroke: styles.getPropertyValue('--line'), width: 1 };
  const axis = {
    stroke: styles.getPropertyValue('--quiet'),
    grid,
    ticks: { show: false },
    font: '11px system-ui',
  };
  return new uPlot(
    {
      width: Math.max(80, host.clientWidth),
      height: heightPx,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      padding: [8, 24, 0, 0], // above the highest figure, and half a time of the last tick
      scales: { y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
      axes: [
        { ...axis, size: 28, gap: 9, space: 70, values: (_plot, splits) => splits.map(timeText) },
        { ...axis, size: 62, space: 34, values: (_plot, splits) => splits.map((one) => text(one)) },
      ],
      series: [
        {},
        ...lines.map((line, index) => ({
          label: line.name,
          stroke: colors[line.color ?? index] ?? 'gray',
          width: 1.75,
          points: { show: false },
        })),
      ],
    },
    data,
    host,
  );
}

/** @param seconds since 1970 */
function timeText(seconds: number): string {
  const at = new Date(seconds * 1000);
  if (at.getHours() === 0 && at.getMinutes() === 0)
    return at.toLocaleDateString([], { month: 'short', day: 'numeric' });
  return at.toLocaleTimeString([], { hour: 'numeric', minute: '2-digit' });
}

function dataOf(times: readonly number[], lines: readonly Line[]): uPlot.AlignedData {
  return [[...times], ...lines.map(({ values }) => [...values])] as uPlot.AlignedData;
}

function lastOf(values: readonly (number | null)[]): number | null {
  return values.findLast((value) => value !== null) ?? null;
}
