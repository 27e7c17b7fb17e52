import { expect, test } from 'vitest';
import {
  beat,
  type HangVerdict,
  judge,
  LIFE_SIGN_LIMITS,
  newPulse,
} from '../../../src/agent/replicas/hang.ts';

interface Half {
  readonly beats?: boolean;
  readonly computes?: boolean;
  readonly stopped?: boolean;
}

/** Verdicts of a replica watched every half second, which does in each what the list says. */
function verdicts(halves: readonly Half[]): readonly HangVerdict[] {
  let pulse = newPulse(0);
  let nowMs = 0;
  let cpuTicks = 100;
  return halves.map(({ beats = false, computes = false, stopped = false }) => {
    nowMs += 500;
    if (computes) cpuTicks += 1;
    if (beats) pulse = beat(pulse, nowMs);
    const judged = judge(pulse, { nowMs, cpuTicks, stopped }, LIFE_SIGN_LIMITS);
    pulse = judged.pulse;
    return judged.verdict;
  });
}

const seconds = (count: number, half: Half): readonly Half[] => Array(count * 2).fill(half);
const firstSecond = (list: readonly HangVerdict[], verdict: HangVerdict): number | null => {
  const index = list.indexOf(verdict);
  return index < 0 ? null : (index + 1) / 2;
};

test.each([
  ['beats and idles', { beats: true }, null, null],
  ['beats and computes', { beats: true, computes: true }, null, null],
  ['computes in silence', { computes: true }, null, null],
  ['is stopped', { stopped: true }, 2, 10],
  // its CPU time moved for the last time when it was first looked at
  ['idles in silence', {}, null, 10.5],
] as const)('one that %s', (_what, half, suspectAfterS, hungAfterS) => {
  const judged = verdicts(seconds(60, half));
  expect(firstSecond(judged, 'suspect')).toBe(suspectAfterS);
  expect(firstSecond(judged, 'hung')).toBe(hungAfterS);
});

test('one that went on before its time is alive again', () => {
  const judged = verdicts([...seconds(9, { stopped: true }), ...seconds(20, { beats: true })]);
  expect(judged).not.toContain('hung');
  expect(judged.at(-1)).toBe('alive');
});

test('one that computed in silence and then idles is hung only after ten idle seconds', () => {
  const judged = verdicts([...seconds(30, { computes: true }), ...seconds(20, {})]);
  expect(firstSecond(judged, 'hung')).toBe(40);
});

test('an agent that was itself stopped blames nobody', () => {
  const before = judge(newPulse(0), { nowMs: 500, cpuTicks: 1, stopped: false }, LIFE_SIGN_LIMITS).pulse;
  const after = judge(before, { nowMs: 60_000, cpuTicks: 1, stopped: true }, LIFE_SIGN_LIMITS);
  expect(after.verdict).toBe('alive');
  expect(judge(after.pulse, { nowMs: 60_500, cpuTicks: 1, stopped: true }, LIFE_SIGN_LIMITS).verdict).toBe(
    'alive',
  );
});
