/** How figures are written for people. */

/** @param seconds null: not known */
export function durationText(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return '–';
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${seconds < 0.01 ? (seconds * 1000).toFixed(1) : Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.round((seconds % 86_400) / 3600)} h`;
}

export function millisecondsText(ms: number | null): string {
  return durationText(ms === null ? null : ms / 1000);
}

/** How long ago something was. @param at ISO 8601, or milliseconds */
export function agoText(at: string | number | null, nowMs: number): string {
  if (at === null) return '–';
  const atMs = typeof at === 'number' ? at : Date.parse(at);
  const seconds = Math.max(0, (nowMs - atMs) / 1000);
  return seconds < 5 ? 'now' : `${durationText(Math.round(seconds))} ago`;
}

export function dateTimeText(at: string | number): string {
  return new Date(at).toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium' });
}

/** 0.3 → '30 %' */
export function percentText(share: number): string {
  const percent = share * 100;
  return `${percent > 0 && percent < 1 ? percent.toFixed(1) : Math.round(percent)} %`;
}

export function rateText(perSecond: number | null): string {
  if (perSecond === null) return '–';
  if (perSecond === 0) return '0 /s';
  if (perSecond < 0.1) return `${perSecond < 0.01 ? '< 0.01' : perSecond.toFixed(2)} /s`;
  return `${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond).toLocaleString()} /s`;
}

export function countText(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

/** Of replicas that are not ready, how many are in which phase: `1 starting, 2 failed`; '' where all are. */
export function otherPhases(replicas: readonly { readonly phase: string }[]): string {
  const counts = new Map<string, number>();
  for (const { phase } of replicas) {
    if (phase !== 'ready') counts.set(phase, (counts.get(phase) ?? 0) + 1);
  }
  return [...counts].map(([phase, count]) => `${count} ${phase}`).join(', ');
}

/** A few names, or how many there are. */
export function namesText(names: readonly string[], one: string): string {
  return names.length <= 3 ? names.join(', ') : countText(names.length, one);
}
