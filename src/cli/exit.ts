import { codeOf, messageOf, ServeError } from '../lib/errors.ts';

/** Exit codes of every command. */
export const ExitCode = {
  done: 0,
  /** the change failed, the old state serves on */
  failed: 1,
  /** wrong usage, or mistakes in the file */
  usage: 2,
  /** pending, or no progress within --timeout */
  pending: 3,
  /** the cluster cannot be reached, or refused the token */
  unreachable: 4,
  /** superseded by a later revision */
  conflict: 5,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Ends a command with a message on stderr and a code. */
export class CommandFailure extends ServeError<{
  readonly code: 'COMMAND_FAILED';
  readonly exitCode: ExitCode;
}> {
  override readonly name = 'CommandFailure';

  constructor(message: string, exitCode: ExitCode, cause?: unknown) {
    super(message, { code: 'COMMAND_FAILED', exitCode }, { cause });
  }
}

const EXIT_OF: Readonly<Record<string, ExitCode>> = {
  CLUSTER_UNREACHABLE: ExitCode.unreachable,
  STORE_UNREACHABLE: ExitCode.unreachable,
  STORE_AUTH: ExitCode.unreachable,
  STORE_SCHEMA: ExitCode.unreachable,
  ADMIN_ANSWER: ExitCode.unreachable,
  NOT_LEADER: ExitCode.unreachable,
  APPLY_TIMEOUT: ExitCode.pending,
  APPLY_INTERRUPTED: ExitCode.pending,
  TOKEN_REFUSED: ExitCode.unreachable,
  TOKEN_FILE: ExitCode.unreachable,
  BAD_REQUEST: ExitCode.usage,
  LOG_NOT_FOUND: ExitCode.usage,
  REVISION_UNKNOWN: ExitCode.usage,
  REVISION_MOVED: ExitCode.conflict,
  ROTATION_RUNS: ExitCode.conflict,
  TOKEN_REPLACED: ExitCode.unreachable,
  BAD_USAGE: ExitCode.usage,
  STATE_DIR_LOCKED: ExitCode.usage,
  STATE_DIR_UNSAFE: ExitCode.usage,
  STATE_DIR_UNUSABLE: ExitCode.usage,
  STORE_URL: ExitCode.usage,
  PORT_TAKEN: ExitCode.usage,
  PORT_FORBIDDEN: ExitCode.usage,
  STORE_PORT_TAKEN: ExitCode.usage,
  PACKAGE_EXISTS: ExitCode.usage,
  PACKAGE_NAME_INVALID: ExitCode.usage,
  PACKAGE_NOT_FOUND: ExitCode.usage,
};

/** The exit code and the words for anything that ended a command. */
export function describeFailure(thrown: unknown): { readonly exitCode: ExitCode; readonly text: string } {
  if (thrown instanceof CommandFailure) return { exitCode: thrown.data.exitCode, text: thrown.message };
  return { exitCode: EXIT_OF[codeOf(thrown) ?? ''] ?? ExitCode.failed, text: messageOf(thrown) };
}
