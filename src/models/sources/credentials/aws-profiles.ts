import { homedir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'ini';
import type { Variables } from '../../../config/environment.ts';
import { readIfThere } from '../../../lib/files.ts';
import { SourceError } from '../types.ts';

/** What the profiles of `~/.aws/config` and `~/.aws/credentials` say; the credentials file wins. */
export interface AwsProfiles {
  /** by name; null: in neither file */
  find(name: string): Variables | null;
  /** what a section `services` says of S3 */
  endpointOf(profile: Variables): string | null;
}

/** Reads both files, or those that `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE` name. */
export async function readProfiles(variables: Variables): Promise<AwsProfiles> {
  const folder = join(variables['HOME'] || homedir(), '.aws');
  const config = await sectionsOf(variables['AWS_CONFIG_FILE'] || join(folder, 'config'));
  const secrets = await sectionsOf(variables['AWS_SHARED_CREDENTIALS_FILE'] || join(folder, 'credentials'));
  return {
    find: (name) => {
      const texts = [config[`profile ${name}`], config[name], secrets[name]];
      const found = texts.filter((one) => one !== undefined);
      return found.length === 0 ? null : (Object.assign({}, ...found.map(fieldsOf)) as Variables);
    },
    endpointOf: (profile) => {
      const services = config[`services ${profile['services'] ?? ''}`] ?? '';
      const [, ofS3 = ''] = /^s3\s*=\s*\n((?:[ \t]+.*\n?)*)/m.exec(services) ?? [];
      return fieldsOf(ofS3.replace(/^[ \t]+/gm, ''))['endpoint_url'] ?? profile['endpoint_url'] ?? null;
    },
  };
}

/** A profile that somebody has named, and that has to be there. */
export function namedProfile(name: string, profiles: AwsProfiles, namedBy: string): Variables {
  const found = profiles.find(name);
  if (found !== null) return found;
  throw new SourceError(
    `${namedBy} names "${name}", which is neither in ~/.aws/credentials nor in ~/.aws/config`,
    { code: 'SOURCE_CREDENTIALS' },
  );
}

/** Of each section the lines below its name. */
async function sectionsOf(path: string): Promise<Readonly<Record<string, string>>> {
  const text = (await readIfThere(path)) ?? '';
  const sections: Record<string, string> = {};
  for (const part of text.split(/^(?=\[)/m)) {
    const [, name] = /^\[([^\]]+)\]/.exec(part) ?? [];
    if (name !== undefined) sections[name.trim()] = part.replace(/^\[[^\]]*\].*$/m, '');
  }
  return sections;
}

/** Indented lines belong to the key above them (`s3 =`), and to nobody here. */
function fieldsOf(lines: string): Variables {
  return parse(lines.replace(/^[ \t]+.*$/gm, '')) as Variables;
}
