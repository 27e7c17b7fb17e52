/** A stretch of an object that is held in memory as a whole, or not at all. */
export interface UnitView {
  readonly sizeBytes: number;
  /** whether memory is set aside for it */
  readonly isHeld: boolean;
  /** how many wait for it */
  readonly waiters: number;
  /** it stays where it is: somebody has it mapped */
  readonly isPinned: boolean;
  /** it was read to its end: fetched again only when somebody asks for it */
  readonly isSpent: boolean;
  /** grows with each use; 0: nobody has read of it */
  readonly lastUse: number;
}

export interface MemoryPlan<Unit> {
  /** gives its memory back first */
  readonly evict: readonly Unit[];
  /** in this order */
  readonly admit: readonly Unit[];
}

/**
 * Decides what is held in memory. What somebody waits for comes in whatever it costs, and what is not needed makes room for it. The
 * rest comes in the order it was opened, as far as there is room, and only what was read to its end makes room for it.
 * @param units in the order they were opened
 * @param roomBytes what is free of the limit, units that are held counted as used; may be negative
 */
export function planMemory<Unit extends UnitView>(
  units: readonly Unit[],
  roomBytes: number,
): MemoryPlan<Unit> {
  const evict: Unit[] = [];
  const admit: Unit[] = [];
  let room = roomBytes;
  /** Gives up as many as it takes, in this order. */
  const makeRoom = (neededBytes: number, candidates: readonly Unit[]): void => {
    for (const unit of candidates) {
      if (room >= neededBytes) return;
      if (evict.includes(unit)) continue;
      evict.push(unit);
      room += unit.sizeBytes;
    }
  };
  const take = (unit: Unit): void => {
    admit.push(unit);
    room -= unit.sizeBytes;
  };
  const idle = units.filter((unit) => unit.isHeld && !unit.isPinned && unit.waiters === 0);
  const spent = idle.filter((unit) => unit.isSpent).sort(byUse);
  const unread = idle.filter((unit) => !unit.isSpent && unit.lastUse === 0).reverse();
  const begun = idle.filter((unit) => !unit.isSpent && unit.lastUse > 0).sort(byUse);
  for (const unit of units.filter((one) => !one.isHeld && one.waiters > 0)) {
    makeRoom(unit.sizeBytes, [...spent, ...unread, ...begun]);
    take(unit);
  }
  for (const unit of units.filter((one) => !one.isHeld && one.waiters === 0 && !one.isSpent)) {
    if (room + sizeOf(spent, evict) < unit.sizeBytes) break; // what comes later does not overtake it
    makeRoom(unit.sizeBytes, spent);
    take(unit);
  }
  return { evict, admit };
}

function byUse(left: UnitView, right: UnitView): number {
  return left.lastUse - right.lastUse;
}

function sizeOf<Unit extends UnitView>(units: readonly Unit[], without: readonly Unit[]): number {
  return units.filter((unit) => !without.includes(unit)).reduce((sum, unit) => sum + unit.sizeBytes, 0);
}

/** Most of what a part may be: an object is one part, unless it is larger than half of what may be held. */
const PART_BYTES = 64 * 1024 ** 2;

/** Where the parts of an object begin. @returns at least one; all parts but the last have the size `partBytes` */
export function partsOf(
  sizeBytes: number,
  limitBytes: number,
): { readonly partBytes: number; readonly offsets: readonly number[] } {
  if (sizeBytes <= limitBytes / 2) return { partBytes: Math.max(sizeBytes, 1), offsets: [0] };
  const partBytes = Math.min(PART_BYTES, sizeBytes);
  const count = Math.ceil(sizeBytes / partBytes);
  return { partBytes, offsets: Array.from({ length: count }, (_, index) => index * partBytes) };
}
