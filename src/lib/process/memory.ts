import { readFileSync } from 'node:fs';

export interface ProcessMemory {
  /** what lies in memory now (VmRSS) */
  readonly residentBytes: number;
  /** the most that ever did (VmHWM) */
  readonly peakBytes: number;
}

/** @returns null where there is no such process any more */
export function readProcessMemory(pid: number): ProcessMemory | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return null;
  }
  const bytesOf = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return { residentBytes: bytesOf('VmRSS'), peakBytes: bytesOf('VmHWM') };
}
