import { ServeError } from '../../lib/errors.ts';

export type PreparationErrorCode =
  | 'INTERPRETER_NOT_FOUND'
  | 'ENVIRONMENT_TOOL_MISSING'
  | 'ENVIRONMENT_FAILED'
  | 'DISK_FULL'
  | 'SNAPSHOT_MISSING'
  | 'MODEL_MISSING'
  | 'IMPORT_FAILED'
  | 'AGENT_FAILED'
  | 'REFERENCE_MISSING'
  | 'RUN_AS';

/** A backend cannot be started on this node. The message says what to do; `details` is the tool's or backend's output. */
export class PreparationError extends ServeError<{
  readonly code: PreparationErrorCode;
  /** traceback or last lines of output, may be empty */
  readonly details: string;
}> {
  override readonly name = 'PreparationError';

  constructor(code: PreparationErrorCode, message: string, details = '') {
    super(message, { code, details });
  }
}
