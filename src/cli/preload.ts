import { childEnvironment } from '../config/environment.ts';
import { preloadLibrary } from '../models/preload/preload-library.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { print } from './output.ts';

/** `modelserve preload`: the path of the library for LD_PRELOAD, which is built where it is missing. */
export async function preloadCommand(): Promise<ExitCode> {
  const library = await preloadLibrary(childEnvironment()['PATH'] ?? '');
  if (library.status === 'missing') {
    throw new CommandFailure(`there is no preload library: ${library.reason}`, ExitCode.failed);
  }
  print(library.path);
  return ExitCode.done;
}
