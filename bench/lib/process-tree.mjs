// What a tree of processes costs, read from /proc: CPU time (the robust figure on a machine that others use, too),
// memory, and who belongs to it. A process belongs to a tree as a descendant of its root, or by the mark that the
// contestant was started with: Ray and modelserve detach theirs, and a parent that ends hands its children to init.
import { readdirSync, readFileSync } from 'node:fs';

export const MARK = 'BENCH_CONTESTANT';
/** Linux reports CPU time in these, on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/**
 * @typedef {object} TreeProcess
 * @property {number} pid
 * @property {number} parent
 * @property {string} startedAt in ticks since boot: with the pid it names a process for good
 * @property {number} cpuTicks user and system time of the process itself
 * @property {string} name
 */

/**
 * @param {{rootPids: readonly number[], mark: string}} tree
 * @returns {TreeProcess[]} the roots that live and all that belongs to them
 */
export function processesOf(tree) {
  const all = readProcesses();
  const members = new Set(tree.rootPids);
  for (const { pid } of all) if (isMarked(pid, tree.mark)) members.add(pid);
  let grew = true;
  while (grew) {
    const before = members.size;
    for (const { pid, parent } of all) if (members.has(parent)) members.add(pid);
    grew = members.size > before;
  }
  return all.filter(({ pid }) => members.has(pid));
}

/**
 * CPU time of a tree at one moment, by process.
 * @returns {Map<string, number>} microseconds by pid and start time
 */
export function cpuOf(tree) {
  return new Map(
    processesOf(tree).map(({ pid, startedAt, cpuTicks }) => [
      `${pid}@${startedAt}`,
      (cpuTicks / TICKS_PER_SECOND) * 1e6,
    ]),
  );
}

/** CPU microseconds spent between two readings; a process that came in between counts in full. */
export function cpuBetweenUs(before, after) {
  let sum = 0;
  for (const [key, us] of after) sum += us - (before.get(key) ?? 0);
  return sum;
}

/**
 * Memory of a tree. RSS counts pages that processes share once for each of them, PSS once in all.
 * @returns {{processes: number, rssBytes: number, pssBytes: number | null}} pssBytes null: the kernel does not tell
 */
export function memoryOf(tree) {
  const members = processesOf(tree);
  let rssBytes = 0;
  let pssBytes = 0;
  let isPssKnown = true;
  for (const { pid } of members) {
    const resident = residentBytesOf(pid);
    const pss = kilobytes(readProc(pid, 'smaps_rollup'), 'Pss');
    rssBytes += resident;
    pssBytes += pss ?? 0;
    if (pss === null && resident > 0) isPssKnown = false;
  }
  return { processes: members.length, rssBytes, pssBytes: isPssKnown ? pssBytes : null };
}

/** @returns {number} RSS of one process; 0: it is gone */
export function residentBytesOf(pid) {
  return kilobytes(readProc(pid, 'status'), 'VmRSS') ?? 0;
}

/** @returns {string | null} when a process started, in ticks since boot; null: it is gone, or only waits to be reaped */
export function startTimeOf(pid) {
  return parseStat(readProc(pid, 'stat'))?.startedAt ?? null;
}

/** Command line of a process, for telling the parts of a tree apart; '' where it is gone. */
export function commandLineOf(pid) {
  return (readProc(pid, 'cmdline') ?? '').replaceAll('\0', ' ').trim();
}

function readProcesses() {
  /** @type {TreeProcess[]} */
  const found = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const one = parseStat(readProc(entry, 'stat'));
    if (one !== null) found.push(one);
  }
  return found;
}

/** @returns {TreeProcess | null} null: it is gone, or a zombie */
function parseStat(stat) {
  if (stat === null) return null;
  // The name stands in brackets and may contain anything, so fields are counted from its end.
  const close = stat.lastIndexOf(')');
  const fields = stat.slice(close + 2).split(' ');
  if (fields[0] === 'Z') return null;
  return {
    pid: Number.parseInt(stat, 10),
    parent: Number(fields[1]),
    startedAt: fields[19] ?? '',
    cpuTicks: Number(fields[11]) + Number(fields[12]),
    name: stat.slice(stat.indexOf('(') + 1, close),
  };
}

function isMarked(pid, mark) {
  return (readProc(pid, 'environ') ?? '').split('\0').includes(`${MARK}=${mark}`);
}

function kilobytes(text, name) {
  const match = text?.match(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm'));
  return match ? Number(match[1]) * 1024 : null;
}

function readProc(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return null; // ended meanwhile, or not ours to read
  }
}
