import { describe, expect, it } from 'vitest';
import { readTracing } from '../../src/config/tracing-settings.ts';

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' };
const ALL = { ratio: 1, followsParent: true, headers: {}, resource: { 'service.name': 'modelserve' } };

describe('what OpenTelemetry’s variables say', () => {
  it.each([
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: '' },
    { ...ENDPOINT, OTEL_SDK_DISABLED: 'TRUE' },
    { ...ENDPOINT, OTEL_TRACES_EXPORTER: 'none' },
  ])('is nothing: %j', (env) => {
    expect(readTracing(env)).toBeNull();
  });

  it.each([
    [ENDPOINT, { ...ALL, url: 'http://collector:4318/v1/traces' }],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://c/x' }, { ...ALL, url: 'https://c/x' }],
    [
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Basic%20a=, b=2', OTEL_SERVICE_NAME: 'ours' },
      { headers: { authorization: 'Basic a=', b: '2' }, resource: { 'service.name': 'ours' } },
    ],
    [
      { ...ENDPOINT, OTEL_RESOURCE_ATTRIBUTES: 'service.name=a,deployment.environment.name=test' },
      { resource: { 'service.name': 'a', 'deployment.environment.name': 'test' } },
    ],
    [
      { ...ENDPOINT, OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.25' },
      { ratio: 0.25, followsParent: true },
    ],
    [
      { ...ENDPOINT, OTEL_TRACES_SAMPLER: 'always_off' },
      { ratio: 0, followsParent: false },
    ],
  ])('%j', (env, settings) => {
    expect(readTracing(env)).toMatchObject(settings);
  });

  it.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' }, /^OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL/],
    [
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
      /^OTEL_EXPORTER_OTLP_PROTOCOL: expected http\/json or .* by HTTP, .* port 4318\), found "grpc"/,
    ],
    [{ ...ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc' }, /found "grpc"/],
    [{ ...ENDPOINT, OTEL_TRACES_SAMPLER: 'some' }, /^OTEL_TRACES_SAMPLER: expected one of always_on/],
    [
      { ...ENDPOINT, OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '2' },
      /^OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1, found "2"/,
    ],
    [
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS: '=secret' },
      /^OTEL_EXPORTER_OTLP_HEADERS: expected name=value/,
    ],
  ])('%j is a mistake', (env, message) => {
    expect(() => readTracing(env)).toThrow(message);
  });
});
