import { expect, it } from 'vitest';
import { CommandFailure, describeFailure, ExitCode } from '../../src/cli/exit.ts';
import { ServeError } from '../../src/lib/errors.ts';

it.each<[string, ExitCode]>([
  ['CLUSTER_UNREACHABLE', ExitCode.unreachable],
  ['STORE_UNREACHABLE', ExitCode.unreachable],
  ['STORE_AUTH', ExitCode.unreachable],
  ['STORE_SCHEMA', ExitCode.unreachable],
  ['TOKEN_REFUSED', ExitCode.unreachable],
  ['TOKEN_FILE', ExitCode.unreachable],
  ['NOT_LEADER', ExitCode.unreachable],
  ['ADMIN_ANSWER', ExitCode.unreachable],
  ['APPLY_TIMEOUT', ExitCode.pending],
  ['APPLY_INTERRUPTED', ExitCode.pending],
  ['BAD_REQUEST', ExitCode.usage],
  ['BAD_USAGE', ExitCode.usage],
  ['LOG_NOT_FOUND', ExitCode.usage],
  ['STATE_DIR_LOCKED', ExitCode.usage],
  ['STORE_URL', ExitCode.usage],
  ['STORE_PORT_TAKEN', ExitCode.usage],
  ['PACKAGE_EXISTS', ExitCode.usage],
  ['STORE_START', ExitCode.failed],
  ['INGRESS_FAILED', ExitCode.failed],
  ['ANYTHING_ELSE', ExitCode.failed],
])('%s ends a command with %i', (code, exitCode) => {
  expect(describeFailure(new ServeError('the reason', { code }))).toEqual({ exitCode, text: 'the reason' });
});

it('a command’s own failure says its code itself', () => {
  const failure = new CommandFailure('superseded', ExitCode.conflict);
  expect(describeFailure(failure)).toEqual({ exitCode: 5, text: 'superseded' });
});

it.each([[new Error('no')], ['no']])('whatever else was thrown is a failure', (thrown) => {
  expect(describeFailure(thrown)).toEqual({ exitCode: 1, text: 'no' });
});
