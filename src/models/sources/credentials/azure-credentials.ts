import type { Variables } from '../../../config/environment.ts';
import type { ModelUri } from '../../../config/model-uri.ts';
import { messageOf } from '../../../lib/errors.ts';
import { readIfThere } from '../../../lib/files.ts';
import type { AskServer, Question } from '../connections.ts';
import { isPassing, passing } from '../passing.ts';
import type { AzureKey } from '../sign-azure.ts';
import { SourceError } from '../types.ts';
import { connectionOf } from './azure-connection.ts';
import { cloudEntry } from './cloud-file.ts';
import type { Lease } from './renewable.ts';
import { readToken } from './token-answer.ts';

/** How requests to Azure say who asks. */
export interface AzureCredentials {
  readonly key: AzureKey | null;
  /** of Entra ID; null where a key, a shared access signature, or nothing is sent */
  readonly token: string | null;
  /** where they are from, for messages; null: none were found */
  readonly origin: string | null;
}

const RESOURCE = 'https://storage.azure.com/';
const METADATA_TIMEOUT_MS = 2_000;

/**
 * As Triton does: what the cloud credential file has for the URI, else the variables `AZURE_STORAGE_ACCOUNT`, `_KEY`,
 * `_AUTH_TYPE` and `_CLIENT_ID`; beyond it the key of a connection string, and whom `AZURE_CLIENT_ID` names. An account that
 * is not named is that of the URI.
 * @throws SourceError SOURCE_CREDENTIALS
 */
export async function azureCredentials(
  uri: ModelUri,
  variables: Variables,
  ask: AskServer,
): Promise<Lease<AzureCredentials>> {
  const { value: given, origin } = await fieldsFor(uri, variables);
  const authType = given['auth_type'] || 'key';
  if (authType === 'key') return ofKey(given, uri.account, origin);
  const clientId = given['client_id'] || variables['AZURE_CLIENT_ID'] || '';
  if (authType === 'managed_identity') return await tokenBy(managedIdentity(variables, clientId), ask);
  if (authType === 'default') {
    return await tokenBy((await fromEnvironment(variables)) ?? managedIdentity(variables, clientId), ask);
  }
  throw unusable(`${origin}: auth_type`, 'key, managed_identity or default', `"${authType}"`);
}

interface Fields {
  readonly value: Variables;
  /** for messages */
  readonly origin: string;
}

/** What the cloud credential file has, else what stands in variables. */
async function fieldsFor(uri: ModelUri, variables: Variables): Promise<Fields> {
  const entry = await cloudEntry(uri, variables);
  if (typeof entry?.value === 'object' && !isEmpty(entry.value)) {
    return { value: entry.value, origin: entry.origin };
  }
  const fields = inVariables(uri.account, variables);
  const saysWho = ['AZURE_TENANT_ID', 'AZURE_CLIENT_ID'].every((name) => variables[name]);
  const hasProof = ['AZURE_CLIENT_SECRET', 'AZURE_FEDERATED_TOKEN_FILE'].some((name) => variables[name]);
  // Clusters set these for their workloads; nobody has to say more.
  const isByName = !fields.value['account_key'] && !fields.value['auth_type'] && saysWho && hasProof;
  return isByName ? { ...fields, value: { ...fields.value, auth_type: 'default' } } : fields;
}

function inVariables(account: string, variables: Variables): Fields {
  // KServe's name for the key is the second.
  const name = ['AZURE_STORAGE_KEY', 'AZURE_STORAGE_ACCESS_KEY'].find((one) => variables[one]);
  const value = {
    account_str: variables['AZURE_STORAGE_ACCOUNT'],
    auth_type: variables['AZURE_STORAGE_AUTH_TYPE'],
    client_id: variables['AZURE_STORAGE_CLIENT_ID'],
  };
  if (name !== undefined) {
    return { value: { ...value, account_key: variables[name] }, origin: `${name} of the environment` };
  }
  const connection = connectionOf(account, variables);
  const ofConnection = connection === null ? {} : { account_str: account, account_key: connection.key };
  return {
    value: { ...value, ...ofConnection },
    origin: 'AZURE_STORAGE_CONNECTION_STRING of the environment',
  };
}

function ofKey(given: Variables, uriAccount: string, origin: string): Lease<AzureCredentials> {
  const key = given['account_key'] || '';
  if (key === '') return { value: { key: null, token: null, origin: null }, endsAtMs: null };
  if (!/^[A-Za-z0-9+/]+=*$/.test(key)) throw unusable(origin, 'a key in base64', 'something else');
  return {
    value: { key: { account: given['account_str'] || uriAccount, key }, token: null, origin },
    endsAtMs: null,
  };
}

/** An entry whose fields are all empty stands for the environment. */
function isEmpty(fields: Readonly<Record<string, string>>): boolean {
  return Object.values(fields).every((value) => value === '');
}

interface TokenQuestion extends Question {
  /** for messages */
  readonly name: string;
}

async function tokenBy(question: TokenQuestion, ask: AskServer): Promise<Lease<AzureCredentials>> {
  const told = await ask(question).catch((error: unknown) => {
    throw isPassing(error) ? passing(`${question.name}: ${messageOf(error)}`) : error;
  });
  const answer = readToken(told);
  if (!answer.ok) throw unusable(question.name, 'a token for storage', answer.found);
  const { value: token, endsAtMs } = answer.lease;
  return { value: { key: null, token, origin: question.name }, endsAtMs };
}

/** The identity of the machine, as Azure's metadata server (or that of an app service) has it. */
function managedIdentity(variables: Variables, clientId: string): TokenQuestion {
  const chosen = clientId === '' ? '' : `&client_id=${encodeURIComponent(clientId)}`;
  const common = { method: 'GET', timeoutMs: METADATA_TIMEOUT_MS, isDirect: true } as const;
  const [service, secret] = [variables['IDENTITY_ENDPOINT'], variables['IDENTITY_HEADER']];
  if (service && secret) {
    const url = `${service}?api-version=2019-08-01&resource=${encodeURIComponent(RESOURCE)}${chosen}`;
    return { ...common, name: 'the managed identity', url, headers: { 'x-identity-header': secret } };
  }
  const host = (variables['AZURE_POD_IDENTITY_AUTHORITY_HOST'] || 'http://169.254.169.254').replace(
    /\/+$/,
    '',
  );
  const query = `api-version=2018-02-01&resource=${encodeURIComponent(RESOURCE)}${chosen}`;
  const url = `${host}/metadata/identity/oauth2/token?${query}`;
  return { ...common, name: 'the managed identity', url, headers: { metadata: 'true' } };
}

/** A service principal by its secret, or a workload by the token that its cluster gives it. @returns null for neither */
async function fromEnvironment(variables: Variables): Promise<TokenQuestion | null> {
  const [tenant, id] = [variables['AZURE_TENANT_ID'], variables['AZURE_CLIENT_ID']];
  const [secret, file] = [variables['AZURE_CLIENT_SECRET'], variables['AZURE_FEDERATED_TOKEN_FILE']];
  if (!tenant || !id || !(secret || file)) return null;
  const authority = (variables['AZURE_AUTHORITY_HOST'] || 'https://login.microsoftonline.com').replace(
    /\/+$/,
    '',
  );
  const proof: Record<string, string> = secret
    ? { client_secret: secret }
    : {
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: await federatedToken(file ?? ''),
      };
  const form = { grant_type: 'client_credentials', client_id: id, scope: `${RESOURCE}.default`, ...proof };
  return {
    name: 'AZURE_CLIENT_ID of the environment',
    method: 'POST',
    url: `${authority}/${encodeURIComponent(tenant)}/oauth2/v2.0/token`,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(form).toString(),
  };
}

async function federatedToken(file: string): Promise<string> {
  const token = (await readIfThere(file))?.trim();
  if (!token) throw unusable('AZURE_FEDERATED_TOKEN_FILE', `a token in ${file}`, 'none');
  return token;
}

function unusable(place: string, expected: string, found: string): SourceError {
  return new SourceError(`${place}: expected ${expected}, found ${found}`, { code: 'SOURCE_CREDENTIALS' });
}
