import { describe, expect, it } from 'vitest';
import { defaultConnectorConfig, readConnectorConfig } from '../../src/config/connector-config.ts';

const SAMPLE = `{
    "logLevel": 1,
    "logPath": "/var/log/oss-connector/connector.log",
    "auditPath": "/var/log/oss-connector/audit.log",
    "prefetch": {
        "vcpus": 24,
        "workers": 32
    }
    "fastList": {
        "vcpus": 2,
        "workers": 16
    }
}
`;

describe('readConnectorConfig', () => {
  it('has the documented defaults', () => {
    const config = defaultConnectorConfig();
    expect(readConnectorConfig('{}', 'c.json')).toEqual({ config, warnings: [] });
    expect(config).toEqual({
      logLevel: 'info',
      logPath: '/var/log/oss-connector/connector.log',
      auditPath: '/var/log/oss-connector/audit.log',
      prefetch: { vcpus: 16, workers: 16, memoryBytes: null, directory: '/dev/shm' },
      fastList: { vcpus: 1, workers: 16 },
      expireTimeSec: 120,
    });
  });

  it('names line and column of the comma that the documented sample lacks', () => {
    expect(() => readConnectorConfig(SAMPLE, 'config.json')).toThrow(
      'config.json:9:5: expected "," or "}", found "',
    );
  });

  it('takes the documented sample with its comma', () => {
    const { config, warnings } = readConnectorConfig(
      SAMPLE.replace('}\n    "fast', '},\n    "fast'),
      'c.json',
    );
    expect(warnings).toEqual([]);
    expect(config.prefetch).toMatchObject({ vcpus: 24, workers: 32 });
    expect(config.fastList).toEqual({ vcpus: 2, workers: 16 });
  });

  it.each([
    ['{"logLevel": 4}', 'logLevel: expected 0 (debug), 1 (info), 2 (warn) or 3 (error), found 4'],
    ['{"prefetch": {"vcpus": 0}}', 'prefetch.vcpus: expected a whole number from 1 to 1024, found 0'],
    ['{"prefetch": 16}', 'prefetch: expected an object with keys, found 16'],
    ['{"logPath": "log"}', 'logPath: expected an absolute path, found "log"'],
    ['[]', 'c.json: expected an object with keys, found []'],
    ['', 'c.json:1:1: expected a value, found the end of the file'],
  ])('refuses %s', (text, message) => {
    expect(() => readConnectorConfig(text, 'c.json')).toThrow(message);
  });

  it('tells of keys that have no effect', () => {
    const { warnings } = readConnectorConfig('{"uploadConcurrency": 64, "prefetch": {"vcpu": 2}}', 'c.json');
    expect(warnings).toEqual([
      'c.json: uploadConcurrency is not known and has no effect',
      'c.json: prefetch.vcpu is not known and has no effect',
    ]);
  });

  it.each(['debug', 'info', 'warn', 'error'])('counts levels from debug: %s', (level) => {
    const number = ['debug', 'info', 'warn', 'error'].indexOf(level);
    expect(readConnectorConfig(`{"logLevel": ${number}}`, 'c.json').config.logLevel).toBe(level);
  });
});
