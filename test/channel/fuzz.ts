/** How many frames each language takes, and from which seed: set MODELSERVE_FUZZ_SEED to repeat a run. */
export const FUZZED_FRAMES = 1_000_000;
export const FUZZ_SEED = Number(process.env['MODELSERVE_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
