import { resolve } from 'node:path';
import type { Command } from 'commander';
import { statePaths } from '../config/paths.ts';
import { localStateDir } from './local-state-dir.ts';

interface DoctorFlags {
  readonly stateDir?: string;
  readonly json?: boolean;
  readonly bundle?: string | true;
}

export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description(
      'look at this machine and at what runs here of modelserve, and say what to do about what is wrong',
    )
    .option('--state-dir <dir>', 'which node of this machine (default: the head, else the worker)')
    .option('--json', 'machine-readable')
    .option('--bundle [file]', 'also write an archive for a bug report, without secrets')
    .action(async ({ stateDir, json, bundle }: DoctorFlags) => {
      const { doctorCommand } = await import('./doctor/doctor.ts');
      const paths = statePaths(resolve(stateDir ?? (await localStateDir())));
      process.exitCode = await doctorCommand(paths, {
        json: json === true,
        bundle: bundle === true ? `modelserve-doctor-${process.pid}.tar.gz` : (bundle ?? null),
      });
    });
}
