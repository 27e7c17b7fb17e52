import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import {
  ContentService,
  type ContentServiceDependencies,
} from '../../../src/agent/content/content-service.ts';
import type { ContentNode } from '../../../src/agent/content/fetch-content.ts';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';
import { type StatePaths, statePaths } from '../../../src/config/paths.ts';
import type { ContentFile } from '../../../src/lib/content/manifest.ts';
import { LiveSecrets } from '../../../src/lib/live-secrets.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { tempDir } from '../../support/temp-dir.ts';

export const KEY = 'the content key';
export const KEYS = new LiveSecrets(KEY);

export const sha256Of = (content: Uint8Array | string): string =>
  createHash('sha256').update(content).digest('hex');

/** A node with a state directory and a content server of its own. */
export interface ContentPlace {
  readonly nodeId: string;
  readonly paths: StatePaths;
  readonly service: ContentService;
}

/** Nodes that know each other, as a store would tell them. */
export class ContentCluster {
  readonly nodes: (ContentNode & { up: boolean })[] = [];
  /** how often a node asked for the others: a fetch does, before it asks anybody for bytes */
  questions = 0;
  /** what their answer waits for */
  gate: Promise<unknown> = Promise.resolve();

  async node(
    nodeId: string,
    options: {
      readonly isHead?: boolean;
      readonly root?: string;
      readonly limitBytes?: number;
      readonly needed?: () => readonly PinnedSpec[];
      readonly origins?: ContentServiceDependencies['origins'];
    } = {},
  ): Promise<ContentPlace> {
    const root = options.root ?? tempDir();
    const paths = { ...statePaths(root), sockets: join(root, 's') };
    const service = new ContentService(
      {
        ...{ nodeId, paths, host: { bound: '127.0.0.1', advertised: '127.0.0.1' }, keys: KEYS, tls: null },
        cache: { limitBytes: options.limitBytes ?? null, spareBytes: 1024 ** 2 },
      },
      {
        nodes: () => this.#others(nodeId),
        needed: async () => options.needed?.() ?? [],
        origins: options.origins,
        log: silentLog,
      },
    );
    await service.start();
    onTestFinished(async () => await service.stop());
    const known = this.nodes.findIndex((node) => node.nodeId === nodeId);
    const entry = { nodeId, address: `127.0.0.1:${service.port}`, isHead: options.isHead ?? false, up: true };
    if (known >= 0) this.nodes[known] = entry;
    else this.nodes.push(entry);
    return { nodeId, paths, service };
  }

  async #others(nodeId: string): Promise<readonly ContentNode[]> {
    this.questions += 1;
    await this.gate;
    return this.nodes.filter((node) => node.nodeId !== nodeId && node.up);
  }
}

/** Random bytes as a model that the node keeps. */
export async function keepModel(
  place: ContentPlace,
  sizeBytes: number,
): Promise<{ hash: string; bytes: Buffer }> {
  const bytes = randomBytes(sizeBytes);
  const hash = sha256Of(bytes);
  const root = place.service.store.pathOf(hash);
  mkdirSync(dirname(root), { recursive: true });
  writeFileSync(root, bytes);
  const files: ContentFile[] = [{ path: '', sizeBytes, sha256: hash, executable: false }];
  await place.service.store.add({ hash, root, files });
  return { hash, bytes };
}

/** Writes files below a folder. */
export function writeTree(folder: string, files: Readonly<Record<string, string | Uint8Array>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
}
