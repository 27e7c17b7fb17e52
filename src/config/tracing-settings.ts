import { ServeError } from '../lib/errors.ts';
import type { Variables } from './environment.ts';

/** Where spans go and of which requests there are some: what OpenTelemetry's own variables say. */
export interface TracingSettings {
  /** URL that takes spans by OTLP over HTTP */
  readonly url: string;
  /** may hold secrets */
  readonly headers: Readonly<Record<string, string>>;
  /** `service.name` and what else is said of the service */
  readonly resource: Readonly<Record<string, string>>;
  /** of requests that come without a trace, the share that gets one: 0 to 1 */
  readonly ratio: number;
  /** those that come with one are part of it exactly where it is sampled */
  readonly followsParent: boolean;
}

const SAMPLERS: Readonly<Record<string, { readonly root: number | null; readonly followsParent: boolean }>> =
  {
    always_on: { root: 1, followsParent: false },
    always_off: { root: 0, followsParent: false },
    traceidratio: { root: null, followsParent: false },
    parentbased_always_on: { root: 1, followsParent: true },
    parentbased_always_off: { root: 0, followsParent: true },
    parentbased_traceidratio: { root: null, followsParent: true },
  };

/**
 * @returns null where no endpoint is named, or tracing is turned off
 * @throws ServeError BAD_USAGE naming the variable that cannot be understood
 */
export function readTracing(env: Variables = process.env): TracingSettings | null {
  const of = (name: string): string => env[name]?.trim() ?? '';
  const base = of('OTEL_EXPORTER_OTLP_ENDPOINT');
  const own = of('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  if (own === '' && base === '') return null;
  if (of('OTEL_SDK_DISABLED').toLowerCase() === 'true' || of('OTEL_TRACES_EXPORTER') === 'none') return null;
  checkProtocol(of('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') || of('OTEL_EXPORTER_OTLP_PROTOCOL'));
  const url =
    own === ''
      ? `${checkedUrl('OTEL_EXPORTER_OTLP_ENDPOINT', base).replace(/\/+$/, '')}/v1/traces`
      : checkedUrl('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', own);
  const named = of('OTEL_SERVICE_NAME');
  const pairs = (name: string): Record<string, string> => readPairs(name, of(name));
  return {
    url,
    headers: { ...pairs('OTEL_EXPORTER_OTLP_HEADERS'), ...pairs('OTEL_EXPORTER_OTLP_TRACES_HEADERS') },
    resource: {
      'service.name': 'modelserve',
      ...pairs('OTEL_RESOURCE_ATTRIBUTES'),
      ...(named === '' ? {} : { 'service.name': named }),
    },
    ...readSampler(of('OTEL_TRACES_SAMPLER') || 'parentbased_always_on', of('OTEL_TRACES_SAMPLER_ARG')),
  };
}

function readSampler(name: string, argument: string): Pick<TracingSettings, 'ratio' | 'followsParent'> {
  const sampler = SAMPLERS[name];
  if (sampler === undefined) {
    throw wrong('OTEL_TRACES_SAMPLER', `one of ${Object.keys(SAMPLERS).join(', ')}`, name);
  }
  const ratio = sampler.root ?? (argument === '' ? 1 : Number(argument));
  if (!(ratio >= 0 && ratio <= 1)) throw wrong('OTEL_TRACES_SAMPLER_ARG', 'a number from 0 to 1', argument);
  return { ratio, followsParent: sampler.followsParent };
}

/** Spans are sent as JSON, which every receiver of OTLP over HTTP takes beside protobuf. */
function checkProtocol(protocol: string): void {
  if (['', 'http/json', 'http/protobuf'].includes(protocol)) return;
  const expected = 'http/json or http/protobuf (spans leave by HTTP, which collectors take at port 4318)';
  throw wrong('OTEL_EXPORTER_OTLP_PROTOCOL', expected, protocol);
}

function checkedUrl(name: string, text: string): string {
  if (URL.canParse(text) && /^https?:\/\//.test(text)) return text;
  throw wrong(name, 'a URL such as http://collector:4318', text);
}

/** `a=1,b=2`, values encoded as in a URL; not shown where they are wrong, for they may be secret. */
function readPairs(name: string, text: string): Record<string, string> {
  const pairs = text.split(',').filter((pair) => pair.trim() !== '');
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, key = '', value = ''] = /^\s*([^=\s]+)\s*=(.*)$/.exec(pair) ?? [];
      if (key === '') throw wrong(name, 'name=value pairs, separated by commas', 'something else');
      return [key, decoded(value.trim())];
    }),
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function wrong(name: string, expected: string, found: string): ServeError {
  return new ServeError(`${name}: expected ${expected}, found "${found}"`, { code: 'BAD_USAGE' });
}
