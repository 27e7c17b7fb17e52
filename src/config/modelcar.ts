import type { FindingDraft } from './finding.ts';
import type { IniEntry, IniSection } from './ini-lines.ts';
import { isImageUri, isModelUri, readModelUri } from './model-uri.ts';

/** A key of KServe's `storageInitializer` that `[MODEL SERVE]` takes. */
interface ModelcarKey {
  readonly name: string;
  readonly expected: string;
  readonly form: RegExp;
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
    expected: 'true or false',
    form: /^(?:true|false)$/i,
    example: 'false',
    description:
      'Whether `model` may name images ([sources/oci.md](sources/oci.md)). With `false` an `oci://` is a mistake. Here it is `true` unless said otherwise.',
  },
  {
    name: 'cpuModelcar',
    expected: 'an amount of CPU such as 10m',
    form: QUANTITY,
    example: '10m',
    description: NO_SIDECAR,
  },
  {
    name: 'memoryModelcar',
    expected: 'an amount of memory such as 15Mi',
    form: QUANTITY,
    example: '15Mi',
    description: NO_SIDECAR,
  },
  {
    name: 'uidModelcar',
    expected: 'the number of a user',
    form: /^\d{1,10}$/,
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
    .filter(({ entry, key }) => !key.form.test(entry.value))
    .map(({ entry, key: { expected } }) => ({
      ...{ ...place(entry), expected, found: JSON.stringify(entry.value), hint: '' },
    }));
  const isOff = given.some(({ entry }) => entry.key === 'enableModelcar' && /^false$/i.test(entry.value));
  const idle = given.filter(({ entry }) => entry.key !== 'enableModelcar');
  return {
    mistakes: [...wrong, ...(isOff ? deployments.flatMap(imagesIn) : [])],
    warnings: idle.map(({ entry }) => ({
      ...place(entry),
      expected: 'no key for a sidecar, since none runs',
      found: JSON.stringify(entry.value),
      hint: 'it is taken and has no effect; images are unpacked once on the head',
    })),
  };
}

function imagesIn(section: IniSection): readonly FindingDraft[] {
  return section.entries
    .filter(({ key }) => key === 'model')
    .flatMap(({ value, line }) =>
      value
        .split(',')
        .map((name) => name.trim())
        .filter(isImage)
        .map((name) => ({
          ...{ line, section: section.name, key: 'model' },
          expected: 'no image, since [MODEL SERVE] has enableModelcar = false',
          found: JSON.stringify(name),
          hint: 'take that line away, or set it to true',
        })),
    );
}

function isImage(name: string): boolean {
  const reading = isModelUri(name) ? readModelUri(name) : null;
  return reading?.ok === true && isImageUri(reading.uri);
}
