import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { cloudVariables } from '../config/environment.ts';
import { type ImageReference, imageName, readImageReference } from '../config/image-reference.ts';
import type { PushProgress } from '../models/oci/push-image.ts';
import { pushModel } from '../models/oci/push-model.ts';
import { sizeText } from './env-list.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { endProgress, print, printProgress } from './output.ts';

export interface PushCommand {
  readonly folder: string;
  /** `oci://host/name:tag` */
  readonly target: string;
  /** name of an image, with or without `oci://` */
  readonly base: string | null;
  readonly signal: AbortSignal;
}

const TOLD_EVERY_MS = 500;

/** `modelserve model push`: makes an image of a folder, for `model = oci://…` here and for KServe. */
export async function pushCommand({ folder, target, base, signal }: PushCommand): Promise<ExitCode> {
  const image = imageIn(target);
  if (image.digest !== null) throw wrong(target, 'has a digest: a push is by tag, and gives the digest');
  const status = await stat(folder).catch(() => null);
  if (status?.isDirectory() !== true) {
    throw new CommandFailure(
      `${resolve(folder)}: expected a folder with the files of a model, found ${status === null ? 'nothing' : 'a file'}`,
      ExitCode.usage,
    );
  }
  const beganMs = performance.now();
  const onProgress = progressView();
  const below = base === null ? null : imageIn(base);
  const variables = cloudVariables();
  const pushed = await pushModel({ folder, image, base: below, variables, onProgress, signal }).finally(
    endProgress,
  );
  const { digest, layers, totalBytes, sentBytes } = pushed;
  const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
  const some = sentBytes === totalBytes ? 'all sent' : `${sizeText(sentBytes)} sent, the rest was there`;
  const sent = sentBytes === 0 ? 'nothing sent: all was there' : some;
  print(
    `${layers === 1 ? '1 layer' : `${layers} layers`}, ${sizeText(totalBytes)}, ${sent}, in ${seconds} s`,
  );
  print(`model = oci://${imageName({ ...image, digest })}`);
  return ExitCode.done;
}

function imageIn(text: string): ImageReference {
  const reading = readImageReference(text.replace(/^oci(?:\+\w+)?:\/\//, ''));
  if (reading.ok) return reading.image;
  throw wrong(text, reading.hint);
}

function wrong(text: string, hint: string): CommandFailure {
  return new CommandFailure(`"${text.replace(/^.*@(?!sha256:)/, '…@')}" ${hint}`, ExitCode.usage);
}

function progressView(): (progress: PushProgress) => void {
  let toldMs = Number.NEGATIVE_INFINITY;
  return ({ doneBytes, totalBytes }) => {
    if (performance.now() - toldMs < TOLD_EVERY_MS) return;
    toldMs = performance.now();
    printProgress(`${sizeText(doneBytes)} of ${sizeText(totalBytes)}`);
  };
}
