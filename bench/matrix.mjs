// What is measured: the cells of the matrix and the rates of the open loop, in three sizes.

/**
 * @typedef {object} Cell
 * @property {string} method
 * @property {number} connections
 * @property {number} bodyBytes
 *
 * @typedef {object} Plan
 * @property {'quick' | 'default' | 'full'} size
 * @property {number} rounds
 * @property {number} secondsPerCell
 * @property {readonly Cell[]} cells
 * @property {readonly number[]} openLoopRates requests per second
 */

export const SMALL = 30;
const MIDDLE = 100_000;
const LARGE = 10_000_000;

/** The cells that the table of targets is judged by. */
export const ONE = { method: 'POST', connections: 1, bodyBytes: SMALL };
export const MANY = { method: 'POST', connections: 32, bodyBytes: SMALL };
export const MANY_GET = { method: 'GET', connections: 32, bodyBytes: SMALL };

/** @type {Record<string, Plan>} about a minute, ten minutes, and an hour with all contestants */
export const PLANS = {
  quick: { size: 'quick', rounds: 1, secondsPerCell: 1, cells: [ONE, MANY, MANY_GET], openLoopRates: [] },
  default: {
    size: 'default',
    rounds: 3,
    secondsPerCell: 2,
    cells: [
      ONE,
      MANY,
      MANY_GET,
      { method: 'POST', connections: 256, bodyBytes: SMALL },
      { method: 'POST', connections: 32, bodyBytes: MIDDLE },
      { method: 'POST', connections: 1, bodyBytes: LARGE },
    ],
    openLoopRates: [200, 2000],
  },
  full: {
    size: 'full',
    rounds: 5,
    secondsPerCell: 3,
    cells: [SMALL, MIDDLE, LARGE].flatMap((bodyBytes) =>
      [1, 32, 256].flatMap((connections) =>
        ['POST', 'GET'].map((method) => ({ method, connections, bodyBytes })),
      ),
    ),
    openLoopRates: [100, 500, 2000, 5000, 10_000],
  },
};

/** @returns {string} how a cell is called in files and on the terminal */
export function cellName(cell) {
  return `${cell.method} ${sizeName(cell.bodyBytes)} c=${cell.connections}`;
}

/** @returns {string} 30 B, 100 kB, 10 MB */
function sizeName(bytes) {
  if (bytes >= 1e6) return `${bytes / 1e6} MB`;
  return bytes >= 1e3 ? `${bytes / 1e3} kB` : `${bytes} B`;
}
