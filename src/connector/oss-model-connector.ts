import { StringDecoder } from 'node:string_decoder';
import { cloudVariables } from '../config/environment.ts';
import { ServeError } from '../lib/errors.ts';
import { openConnectorLogs } from '../models/connector-log.ts';
import { Connector, type ListedObject } from './connector.ts';
import {
  type Credentials,
  type CredentialsProvider,
  fileCredentials,
  providedCredentials,
} from './credentials.ts';
import { OssObject } from './oss-object.ts';
import { prepareDirectory } from './prepare-directory.ts';
import { readConfigFile } from './read-config-file.ts';

export interface OssModelConnectorOptions {
  /** of OSS, such as `oss-cn-beijing-internal.aliyuncs.com`; without a scheme it is http */
  readonly endpoint: string;
  /** a JSON file with AccessKeyId, AccessKeySecret, and SecurityToken and Expiration where they are temporary */
  readonly credPath?: string;
  /** in place of the file */
  readonly credProvider?: CredentialsProvider;
  /** a config.json; not given: its defaults */
  readonly configPath?: string;
  /** requests are signed with version 4 for it; not given: `OSS_REGION`, else version 1, which needs none */
  readonly region?: string;
}

/** An object as a listing names it. */
export interface OssObjectInfo {
  readonly key: string;
  /** in bytes */
  readonly size: number;
}

const never = new AbortController().signal;
const use = { usedBytes: 0 };

/** Lists, opens and reads what lies in OSS; whatever is opened is fetched into memory at once, in the order it was opened. */
export class OssModelConnector {
  readonly #connector: Connector;

  /** @throws ServeError CONNECTOR_OPTIONS, CONNECTOR_CONFIG, CONNECTOR_ENDPOINT, CONNECTOR_MEMORY */
  constructor(options: OssModelConnectorOptions) {
    const { endpoint, configPath } = options;
    if (!endpoint) throw wrong('endpoint must be non-empty');
    const credentials = credentialsOf(options);
    const { config, warnings } = readConfigFile(configPath ?? '');
    const logs = openConnectorLogs(config);
    for (const warning of [...warnings, ...logs.warnings]) logs.log.warn({ configPath }, warning);
    const region = options.region || cloudVariables()['OSS_REGION'] || null;
    this.#connector = new Connector(
      { endpoint, region, config },
      { credentials, logs, use, onEvict: () => undefined },
    );
  }

  /**
   * All objects of a bucket whose keys begin with `prefix`.
   * @param fast with many requests at once; then in no order
   * @throws SourceError what OSS says
   */
  async list(bucket: string, prefix: string, fast = false): Promise<readonly OssObjectInfo[]> {
    const found: OssObjectInfo[] = [];
    const give = (page: readonly ListedObject[]): void => {
      for (const { key, sizeBytes } of page) found.push({ key, size: sizeBytes });
    };
    await this.#connector.list({ bucket, prefix, isFast: fast }, give, never);
    return found;
  }

  /**
   * Opens `oss://bucket/name`, which is fetched from then on, behind what was opened before.
   * @param binary false: it is read as UTF-8 text
   * @throws ServeError CONNECTOR_URI, CONNECTOR_NOT_FOUND; SourceError what OSS says
   */
  open(uri: string, binary?: true): Promise<OssObject>;
  open(uri: string, binary: false): Promise<OssObject<string>>;
  async open(uri: string, binary = true): Promise<OssObject<Buffer> | OssObject<string>> {
    const object = await this.#connector.open(uri, never);
    if (binary) return new OssObject<Buffer>(object, (bytes) => bytes);
    const decoder = new StringDecoder('utf8');
    return new OssObject<string>(object, (bytes) => decoder.write(bytes));
  }

  /**
   * Makes a local folder of a folder in OSS: cleans it, and fetches all that lies there, small files first, the others in the order of
   * their names. @throws ServeError CONNECTOR_DIRECTORY for a folder that must not be cleaned; SourceError what OSS says
   */
  async prepareDirectory(uri: string, directory: string): Promise<void> {
    await prepareDirectory(this.#connector, { uri, directory, signal: never });
  }

  /** Ends all requests; objects give their memory back. Idempotent. */
  async close(): Promise<void> {
    await this.#connector.close();
  }
}

function credentialsOf({ credPath, credProvider }: OssModelConnectorOptions): Credentials {
  if (credProvider !== undefined) return providedCredentials(credProvider);
  if (credPath) return fileCredentials(credPath);
  throw wrong('Either credPath or credProvider must be provided');
}

function wrong(message: string): ServeError {
  return new ServeError(message, { code: 'CONNECTOR_OPTIONS' });
}
