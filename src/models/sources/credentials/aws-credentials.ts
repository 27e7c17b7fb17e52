import { childEnvironment, type Variables } from '../../../config/environment.ts';
import type { ModelUri } from '../../../config/model-uri.ts';
import { runCommand } from '../../../lib/process/command.ts';
import type { AskServer } from '../connections.ts';
import { type AwsLease, keyIn, keyInJson, unusable } from './aws-keys.ts';
import { containerKey, instanceKey } from './aws-machine.ts';
import { type AwsProfiles, namedProfile } from './aws-profiles.ts';
import { assumeRole, assumeRoleByToken, type RoleContext } from './aws-roles.ts';
import type { CloudEntry } from './cloud-file.ts';

export interface AwsContext extends RoleContext {
  readonly uri: ModelUri;
  readonly ask: AskServer;
  readonly profiles: AwsProfiles;
}

const IN_ENVIRONMENT = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'] as const;
const IN_PROFILE = ['aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'] as const;
const IN_CLOUD_FILE = ['key_id', 'secret_key', 'session_token'] as const;
const NOBODY: AwsLease = { value: { key: null, origin: '' }, endsAtMs: null };
const PROCESS_TIMEOUT_MS = 60_000;
/** Profiles that take each other's roles. */
const MAX_ROLES = 5;

/**
 * Whose key requests are signed with: that of the cloud credential file, or of the profile it names; else, in AWS' own
 * order, of the environment, the profile, the token that a cluster gives, the container, the instance; else nobody's.
 * @throws SourceError SOURCE_CREDENTIALS for what cannot be used; what is worth another try
 */
export async function awsCredentials(entry: CloudEntry | null, context: AwsContext): Promise<AwsLease> {
  if (typeof entry?.value === 'object') {
    const named = keyIn(entry.value, IN_CLOUD_FILE, entry.origin);
    if (named !== null) return named;
    const profile = entry.value['profile'] || null;
    if (profile !== null) return await ofProfile(profile, entry.origin, context);
  }
  return await ofSurroundings(context);
}

async function ofSurroundings(context: AwsContext): Promise<AwsLease> {
  const { variables, ask, profiles } = context;
  if (/^(?:true|1)$/i.test(variables['awsAnonymousCredential'] || '')) return NOBODY;
  const given = keyIn(variables, IN_ENVIRONMENT, 'AWS_ACCESS_KEY_ID of the environment');
  if (given !== null) return given;
  const profile = variables['AWS_PROFILE'] || null;
  if (profile !== null) return await ofProfile(profile, 'AWS_PROFILE', context);
  if (hasKey(profiles.find('default'))) return await ofProfile('default', 'the default profile', context);
  return (
    (await byWebIdentity(variables, context)) ??
    (await containerKey(variables, ask)) ??
    (await instanceKey(variables, ask)) ??
    NOBODY
  );
}

/** A default profile may only say the region. */
function hasKey(profile: Variables | null): boolean {
  const says = ['aws_access_key_id', 'role_arn', 'credential_process', 'sso_start_url', 'sso_session'];
  return profile !== null && says.some((name) => profile[name]);
}

async function ofProfile(name: string, namedBy: string, context: AwsContext, depth = 0): Promise<AwsLease> {
  const origin = `profile ${name} in ~/.aws`;
  const profile = namedProfile(name, context.profiles, namedBy);
  if (depth > MAX_ROLES) throw unusable(origin, 'a source_profile with a key', 'profiles in a circle');
  const key = keyIn(profile, IN_PROFILE, origin);
  const arn = profile['role_arn'];
  // A profile that names itself as the source takes the role with its own key.
  if (arn && !(key !== null && depth > 0 && !profile['source_profile'])) {
    return await ofRole({ name, arn, profile, key }, context, depth);
  }
  if (key !== null) return key;
  const program = profile['credential_process'];
  if (program) return await ofProcess(program, origin);
  const found =
    profile['sso_start_url'] || profile['sso_session'] ? 'single sign-on, which is not supported' : 'none';
  throw unusable(origin, 'a key, role_arn or credential_process', found);
}

interface RoleProfile {
  readonly name: string;
  readonly arn: string;
  readonly profile: Variables;
  readonly key: AwsLease | null;
}

async function ofRole(
  { name, arn, profile, key }: RoleProfile,
  context: AwsContext,
  depth: number,
): Promise<AwsLease> {
  const origin = `profile ${name} in ~/.aws`;
  const session = profile['role_session_name'] || 'modelserve';
  const role = { arn, session, externalId: profile['external_id'] || '', origin };
  const tokenFile = profile['web_identity_token_file'];
  if (tokenFile) return await assumeRoleByToken(role, tokenFile, context);
  const source = profile['source_profile'];
  const taker =
    source === name && key !== null
      ? key
      : source
        ? await ofProfile(source, `source_profile of ${origin}`, context, depth + 1)
        : await bySource(profile['credential_source'] || '', origin, context);
  if (taker.value.key === null) throw unusable(origin, 'a key that takes its role', 'none');
  return await assumeRole(role, taker.value.key, context);
}

async function bySource(source: string, origin: string, context: AwsContext): Promise<AwsLease> {
  const { variables, ask } = context;
  const ways: Readonly<Record<string, () => Promise<AwsLease | null> | AwsLease | null>> = {
    Environment: () => keyIn(variables, IN_ENVIRONMENT, 'the environment'),
    EcsContainer: () => containerKey(variables, ask),
    Ec2InstanceMetadata: () => instanceKey(variables, ask),
  };
  const way = ways[source];
  if (way === undefined) {
    throw unusable(origin, 'source_profile or credential_source beside role_arn', source || 'neither');
  }
  return (await way()) ?? NOBODY;
}

async function byWebIdentity(variables: Variables, context: RoleContext): Promise<AwsLease | null> {
  const [arn, file] = [variables['AWS_ROLE_ARN'], variables['AWS_WEB_IDENTITY_TOKEN_FILE']];
  if (!arn || !file) return null;
  const session = variables['AWS_ROLE_SESSION_NAME'] || 'modelserve';
  const role = { arn, session, externalId: '', origin: 'AWS_WEB_IDENTITY_TOKEN_FILE of the environment' };
  return await assumeRoleByToken(role, file, context);
}

/** What the program prints on stderr may be shown, what it prints on stdout is the key. */
async function ofProcess(program: string, origin: string): Promise<AwsLease> {
  const run = await runCommand('/bin/sh', ['-c', program], {
    ...{ timeoutMs: PROCESS_TIMEOUT_MS, env: childEnvironment(), ownSession: true },
  });
  const lease = run.exitCode === 0 ? keyInJson(run.stdout, origin) : null;
  if (lease !== null) return lease;
  const found = run.timedOut ? 'nothing in a minute' : `exit code ${run.exitCode} and no key`;
  throw unusable(`credential_process of ${origin}`, 'a key as JSON', found);
}
