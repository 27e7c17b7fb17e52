import { homedir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'ini';
import type { Variables } from '../../config/environment.ts';
import { readIfThere } from '../../lib/files.ts';
import type { AccessKey } from './sign-s3.ts';
import { SourceError } from './types.ts';

/** What the usual variables and files of AWS say. */
export interface AwsSettings {
  /** null: none were found, and nothing is signed */
  readonly key: AccessKey | null;
  /** where the key is from, for messages */
  readonly origin: string;
  readonly region: string;
  /** origin of a store of one's own; null: Amazon's */
  readonly endpoint: string | null;
}

/**
 * In AWS' own order: `AWS_ACCESS_KEY_ID` and its kin, then the profile (`AWS_PROFILE`, or default) of the files
 * `~/.aws/credentials` and `~/.aws/config`.
 * @throws SourceError SOURCE_CREDENTIALS for half a key, or a profile that is in neither file
 */
export async function awsSettings(variables: Variables): Promise<AwsSettings> {
  const profileName = variables['AWS_PROFILE'] || 'default';
  const profile = await profileOf(profileName, variables);
  const endpoint =
    variables['AWS_ENDPOINT_URL_S3'] || variables['AWS_ENDPOINT_URL'] || profile['endpoint_url'];
  const fromEnvironment = keyIn(
    variables,
    ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'],
    'the environment',
  );
  const fileNames = ['aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'] as const;
  return {
    key: fromEnvironment ?? keyIn(profile, fileNames, `profile ${profileName}`),
    origin:
      fromEnvironment === null ? `profile ${profileName} in ~/.aws` : 'AWS_ACCESS_KEY_ID of the environment',
    region: variables['AWS_REGION'] || variables['AWS_DEFAULT_REGION'] || profile['region'] || 'us-east-1',
    endpoint: endpoint ? endpoint.replace(/\/+$/, '') : null,
  };
}

function keyIn(
  values: Variables,
  [idName, secretName, tokenName]: readonly [string, string, string],
  where: string,
): AccessKey | null {
  const [id, secret] = [values[idName], values[secretName]];
  if (!id && !secret) return null;
  if (id && secret) return { id, secret, sessionToken: values[tokenName] || null };
  throw new SourceError(
    `${where} has ${id ? idName : secretName} and no ${id ? secretName : idName}; give both or none`,
    { code: 'SOURCE_CREDENTIALS' },
  );
}

/** Both files together; the credentials file wins. */
async function profileOf(name: string, variables: Variables): Promise<Variables> {
  const folder = join(variables['HOME'] || homedir(), '.aws');
  const config = await sectionsOf(variables['AWS_CONFIG_FILE'] || join(folder, 'config'));
  const secrets = await sectionsOf(variables['AWS_SHARED_CREDENTIALS_FILE'] || join(folder, 'credentials'));
  const found = [config[`profile ${name}`], config[name], secrets[name]].filter((one) => one !== undefined);
  if (found.length === 0 && variables['AWS_PROFILE']) {
    throw new SourceError(
      `AWS_PROFILE names "${name}", which is neither in ~/.aws/credentials nor in ~/.aws/config`,
      {
        code: 'SOURCE_CREDENTIALS',
      },
    );
  }
  return Object.assign({}, ...found) as Variables;
}

/** Without nested sections, which dots in a name would make. */
async function sectionsOf(path: string): Promise<Readonly<Record<string, Variables>>> {
  const text = (await readIfThere(path)) ?? '';
  const sections: Record<string, Variables> = {};
  for (const part of text.split(/^(?=\[)/m)) {
    const [, name] = /^\[([^\]]+)\]/.exec(part) ?? [];
    if (name !== undefined) sections[name.trim()] = parse(part.replace(/^\[[^\]]*\].*$/m, '')) as Variables;
  }
  return sections;
}
