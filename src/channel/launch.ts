import type { JsonValue } from '../lib/json.ts';

/** The launch file: what an agent tells a runner, of either language. docs/channel.md describes it. */
export interface LaunchFile {
  readonly protocol: number;
  readonly replica: string;
  readonly deployment: string;
  readonly revision: number;
  /** Unix socket to listen on, at most 107 bytes */
  readonly socket: string;
  /** stdout and stderr go there; null: they stay as they are */
  readonly log: string | null;
  /** a log file is rotated when it is larger */
  readonly log_max_bytes: number;
  /** log files kept, the current one included */
  readonly log_files: number;
  /** false: the log has the runner's own lines, and what user code prints is thrown away; absent: true */
  readonly log_output?: boolean;
  /** holds `algopkg/<package>/` */
  readonly code_dir: string;
  /** where Python keeps compiled files, since what is in `code_dir` is read-only; absent: nowhere */
  readonly pycache_dir?: string;
  readonly package: string;
  /** name of the class */
  readonly backend: string;
  /** `<model folder>,m1,m2`, or '' without models */
  readonly model_path: string;
  /** null: reconfigure is not called at the start */
  readonly user_config: JsonValue | null;
  readonly max_ongoing: number;
  readonly concurrency: number;
  /** most requests in one call of `predict_batch`; 1: no batches */
  readonly max_batch_size: number;
  /** how long a batch that is not full waits for more, from its first request */
  readonly batch_wait_timeout_s: number;
  readonly orphan_timeout_s: number;
}
