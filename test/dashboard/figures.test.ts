import { expect, it } from 'vitest';
import type { MetricTick } from '../../src/cluster/metrics/series.ts';
import { failuresOf } from '../../src/dashboard/app/failures.ts';
import { countedIn, withTick } from '../../src/dashboard/app/lately.ts';
import { namesText, otherPhases, rateText } from '../../src/dashboard/app/words.ts';
import { colorOf } from '../../src/dashboard/parts/hue.ts';

it('says 0 failures where there were requests and none failed, and nothing where nothing was measured', () => {
  expect(failuresOf({ requestsPerS: [null, 2, 0], outcomesPerS: {} })).toEqual([null, 0, 0]);
});

it('adds failures of all kinds', () => {
  const outcomesPerS = { application_error: [null, 1, 2], timeout: [null, null, 0.5], ok: [null, 5, 5] };
  expect(failuresOf({ requestsPerS: [null, 6, 8], outcomesPerS })).toEqual([null, 1, 2.5]);
});

it('counts what the ticks of the last minute say, of deployments that are there', () => {
  const tick = (atMs: number, ...names: readonly string[]) =>
    ({
      atMs,
      coversMs: 2_000,
      deployments: names.map((name) => ({ name, requestsPerS: 10, failuresPerS: 1 })),
    }) as unknown as MetricTick;
  let ticks: readonly MetricTick[] = [];
  for (const one of [tick(0, 'A'), tick(50_000, 'A', 'B'), tick(100_000, 'A')]) ticks = withTick(ticks, one);
  expect(countedIn(ticks)).toEqual([{ name: 'A', requests: 40, failures: 4 }]);
  // A head that was started anew, or whose clock was set back.
  expect(withTick(ticks, tick(90_000, 'A')).map(({ atMs }) => atMs)).toEqual([50_000, 90_000]);
  expect(countedIn([])).toEqual([]);
});

it.each([
  [null, '–'],
  [0, '0 /s'],
  [0.004, '< 0.01 /s'],
  [0.05, '0.05 /s'],
  [0.1, '0.1 /s'],
  [9.94, '9.9 /s'],
])('writes a rate of %s so that it can be told from its neighbours', (perSecond, text) => {
  expect(rateText(perSecond)).toBe(text);
});

it('counts replicas that are not ready by what they do', () => {
  const replicas = ['ready', 'starting', 'failed', 'starting'].map((phase) => ({ phase }));
  expect(otherPhases(replicas)).toBe('2 starting, 1 failed');
  expect(otherPhases([{ phase: 'ready' }])).toBe('');
});

it('names a few, and counts many', () => {
  expect(namesText(['A', 'B', 'C'], 'deployment')).toBe('A, B, C');
  expect(namesText(['A', 'B', 'C', 'D'], 'deployment')).toBe('4 deployments');
});

it('gives every name a colour on which white letters can be read', () => {
  for (let count = 0; count < 1_000; count += 1) {
    const [hue = 0, saturation = 0, lightness = 0] = (colorOf(`Name${count}`).match(/\d+/g) ?? []).map(
      Number,
    );
    expect(1.05 / (luminanceOf(hue, saturation / 100, lightness / 100) + 0.05)).toBeGreaterThan(4.5);
  }
});

/** Relative luminance by WCAG 2, 0 to 1. */
function luminanceOf(hue: number, saturation: number, lightness: number): number {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  const [red = 0, green = 0, blue = 0] = [0, 8, 4].map((place) => {
    const step = (place + hue / 30) % 12;
    const value = lightness - reach * Math.max(-1, Math.min(step - 3, 9 - step, 1));
    return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
