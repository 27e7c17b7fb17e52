import type { FindingDraft } from './finding.ts';
import type { IniEntry, IniSection } from './ini-lines.ts';
import { isImageUri, isModelUri, readModelUri } from './model-uri.ts';
import { onOrOff, readSwitch } from './value-forms.ts';

/** A key of KServe's `storageInitializer` that `[MODEL SERVE]` takes. */
interface ModelcarKey {
  readonly name: string;
  readonly expected: string;
  readonly accepts: (value: string) => boolean;
  readonly example: string;
  readonly description: string;
}

const QUANTITY = /^\d+(?:\.\d+)?(?:m|k|[KMGT]i?)?$/;
const NO_SIDECAR =
  'Taken so that a configuration of KServe can stay as it is, and of no effect: no container runs beside a replica. The plan says so.';

/** KServe's keys for models that are images: what they meant there is done here without a sidecar. */
export const MODELCAR_KEYS: readonly ModelcarKey[] = [
  {
    name: 'enableModelcar',
    expected: onOrOff.expected,
    accepts: (value) => readSwitch(value) !== null,
    example: 'off',
    description:
      'Whether `model` may name images ([sources/oci.md](sources/oci.md)). With `off` an `oci://` is a mistake. Here it is `on` unless said otherwise.',
  },
  {
    name: 'cpuModelcar',
    expected: 'an amount of CPU such as 10m',
    accepts: (value) => QUANTITY.test(value),
    example: '10m',
    description: NO_SIDECAR,
  },
  {
    name: 'memoryModelcar',
    expected: 'an amount of memory such as 15Mi',
    accepts: (value) => QUANTITY.test(value),
    example: '15Mi',
    description: NO_SIDECAR,
  },
  {
    name: 'uidModelcar',
    expected: 'the number of a user',
    accepts: (value) => /^\d{1,10}$/.test(value),
    example: '1010',
    description: NO_SIDECAR,
  },
];

/**
 * What is to be said of these keys, and of images where they are switched off.
 * @param settings the section `[MODEL SERVE]`
 * @param deployments the other sections
 */
export function checkModelcar(
  settings: IniSection,
  deployments: readonly IniSection[],
): { readonly mistakes: readonly FindingDraft[]; readonly warnings: readonly FindingDraft[] } {
  const given = settings.entries.flatMap((entry) => {
    const key = MODELCAR_KEYS.find(({ name }) => name === entry.key);
    return key === undefined ? [] : [{ entry, key }];
  });
  const place = ({ key, line }: IniEntry) => ({ line, section: settings.name, key });
  const wrong = given
    .filter(({ entry, key }) => !key.accepts(entry.value))
    .map(({ entry, key: { expected } }) => ({
      ...{ ...place(entry), expected, found: JSON.stringify(entry.value), hint: '' },
    }));
  const off = given.find(({ entry }) => entry.key === 'enableModelcar' && readSwitch(entry.value) === false);
  const idle = given.filter(({ entry }) => entry.key !== 'enableModelcar');
  return {
    mistakes: [...wrong, ...(off ? deployments.flatMap((one) => imagesIn(one, off.entry)) : [])],
    warnings: idle.map(({ entry }) => ({
      ...place(entry),
      expected: 'no key for a sidecar, since none runs',
      found: JSON.stringify(entry.value),
      hint: 'it is taken and has no effect; images are unpacked once on the head',
    })),
  };
}

function imagesIn(section: IniSection, off: IniEntry): readonly FindingDraft[] {
  return section.entries
    .filter(({ key }) => key === 'model')
    .flatMap(({ value, line }) =>
      value
        .split(',')
        .map((name) => name.trim())
        .filter(isImage)
        .map((name) => ({
          ...{ line, section: section.name, key: 'model' },
          expected: `no image, since [MODEL SERVE] has ${off.key} = ${off.value}`,
          found: JSON.stringify(name),
          hint: 'take that line away, or set it to on',
        })),
    );
}

function isImage(name: string): boolean {
  const reading = isModelUri(name) ? readModelUri(name) : null;
  return reading?.ok === true && isImageUri(reading.uri);
}
