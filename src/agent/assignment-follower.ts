import { rm } from 'node:fs/promises';
import type { NodeAssignment } from '../cluster/replicas/types.ts';
import { messageOf } from '../lib/errors.ts';
import { readIfThere, writeDurably } from '../lib/files.ts';
import type { Log } from '../lib/log.ts';
import type { AgentStore, WatchStore } from '../store/types.ts';

/** Hints come at once; this is for one that was lost, at a tenth of a command a second. */
const POLL_MS = 10_000;

export interface FollowerOptions {
  readonly nodeId: string;
  /** the assignment followed last is kept here, so that a node works without the store */
  readonly file: string;
}

export interface FollowerDependencies {
  readonly store: Pick<AgentStore, 'readAssignment'> & WatchStore;
  readonly log: Log;
  readonly apply: (assignment: NodeAssignment) => void;
  /** the node was told to leave, after it had started: an order that an earlier life obeyed already counts no more */
  readonly onLeaveRequested: () => void;
}

/**
 * Whether an assignment replaces the one that is followed. Versions compare only within one incarnation; of another
 * one, what a later leader published counts. What an earlier one did is shown by a store that came back with older data,
 * until the leader has written it anew.
 */
export function supersedes(followed: NodeAssignment | null, next: NodeAssignment): boolean {
  if (followed === null) return true;
  if (followed.incarnation !== next.incarnation) return next.epoch > followed.epoch;
  return next.version > followed.version;
}

/** Follows what the leader assigns to this node, from the disk at first, then from the store. */
export class AssignmentFollower {
  readonly #options: FollowerOptions;
  readonly #dependencies: FollowerDependencies;
  #followed: NodeAssignment | null = null;
  #timer: NodeJS.Timeout | null = null;
  #unwatch: (() => Promise<void>) | null = null;
  #unlink: () => void = () => undefined;
  #reading: Promise<void> | null = null;
  #readAgain = false;
  #hasRead = false;

  constructor(options: FollowerOptions, dependencies: FollowerDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** What is followed now; null before there was any. */
  get followed(): NodeAssignment | null {
    return this.#followed;
  }

  /** Applies what was followed when the node ran last; before `start`. A file that cannot be read counts as none. */
  async resume(): Promise<void> {
    const text = await readIfThere(this.#options.file);
    if (text === null) return;
    try {
      this.#take(JSON.parse(text) as NodeAssignment);
    } catch (error) {
      this.#dependencies.log.warn({ error: messageOf(error) }, 'the saved assignment is unreadable');
    }
  }

  /** Does not throw when the store is away: it is followed as soon as it is there. */
  async start(): Promise<void> {
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => void this.#read(), POLL_MS);
    this.#unlink = this.#dependencies.store.onLink((link) => {
      if (link === 'connected') void this.#read();
    });
    await this.#read();
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#unlink();
    await this.#reading;
    const unwatch = this.#unwatch;
    this.#unwatch = null;
    await unwatch?.();
  }

  /** Forgets what was assigned: the node leaves, its next life begins with nothing. */
  async forget(): Promise<void> {
    await this.stop();
    this.#followed = null;
    await rm(this.#options.file, { force: true });
  }

  /** One read at a time; a hint that comes during one is followed by another. */
  async #read(): Promise<void> {
    if (this.#timer === null) return;
    if (this.#reading !== null) {
      this.#readAgain = true;
      return this.#reading;
    }
    this.#reading = this.#readUntilCurrent().finally(() => {
      this.#reading = null;
    });
    await this.#reading;
  }

  async #readUntilCurrent(): Promise<void> {
    const { store, log } = this.#dependencies;
    do {
      this.#readAgain = false;
      try {
        this.#unwatch ??= await store.watch(['assignments'], () => void this.#read());
        const next = await store.readAssignment(this.#options.nodeId);
        const isNews = this.#hasRead;
        this.#hasRead = true;
        if (next === null || this.#timer === null || !supersedes(this.#followed, next)) continue;
        this.#take(next);
        if (isNews && next.leave === true) this.#dependencies.onLeaveRequested();
        await writeDurably(this.#options.file, JSON.stringify(next));
      } catch (error) {
        log.debug({ error: messageOf(error) }, 'the assignment cannot be taken now');
      }
    } while (this.#readAgain);
  }

  #take(assignment: NodeAssignment): void {
    const { version, incarnation, replicas } = assignment;
    this.#followed = assignment;
    this.#dependencies.log.info({ version, incarnation, replicas: replicas.length }, 'assignment taken');
    this.#dependencies.apply(assignment);
  }
}
