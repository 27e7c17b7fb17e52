import type { Variables } from '../../config/environment.ts';
import type { FileUri } from '../../config/model-uri.ts';
import { asDialect } from './as-source.ts';
import type { Dragonfly } from './dragonfly/dragonfly.ts';
import type { Exchange } from './exchange.ts';
import { gsDialect } from './gs-source.ts';
import { webDialect } from './http-source.ts';
import { ossDialect } from './oss-source.ts';
import { type Dialect, RemoteSource, type SourceContext } from './remote-source.ts';
import { s3Dialect } from './s3-source.ts';
import type { ModelSource } from './types.ts';

const DIALECTS: Readonly<
  Record<FileUri['scheme'], (uri: FileUri, context: SourceContext) => Dialect | Promise<Dialect>>
> = {
  s3: s3Dialect,
  oss: ossDialect,
  gs: gsDialect,
  as: asDialect,
  http: webDialect,
  https: webDialect,
};

/**
 * The server that a URI names. Credentials are looked for in `variables` and the files they name, again for each request.
 * @param dragonfly has the bytes of its files where it is told to
 * @throws SourceError SOURCE_CREDENTIALS for what cannot be credentials
 */
export async function openSource(
  uri: FileUri,
  variables: Variables,
  exchange: Exchange,
  dragonfly?: Dragonfly,
): Promise<ModelSource> {
  const { ask, environment } = exchange.connections;
  const dialect = await DIALECTS[uri.scheme](uri, { variables, ask, environment });
  return (await dragonfly?.proxied(dialect, exchange)) ?? new RemoteSource(dialect, exchange);
}
