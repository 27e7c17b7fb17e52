import { describeEnvironment } from '../../cluster/environments/choose.ts';
import type { EnvironmentChoice } from '../../cluster/environments/types.ts';
import type { EnvironmentPlan, PythonEntry } from './plan.ts';
import type { Interpreter } from './python-interpreter.ts';

/** An interpreter as it is, with what is installed in it: kinds `system` and `python:/path`. */
export function planExistingPython(
  choice: Extract<EnvironmentChoice, { kind: 'system' | 'path' }>,
  interpreter: Interpreter,
): EnvironmentPlan<PythonEntry> {
  return {
    kind: choice.kind,
    description: describeEnvironment(choice, [`Python ${interpreter.version}`]),
    build: null,
    enter: async () => ({ python: interpreter.path, env: {} }),
  };
}
