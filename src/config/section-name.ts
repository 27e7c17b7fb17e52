import { type FindingDraft, quoted } from './finding.ts';
import type { IniSection } from './ini-lines.ts';
import { nearest } from './nearest.ts';
import { DEPLOYMENT_PREFIX, SETTINGS_SECTION } from './schema.ts';

/** What a section header stands for. */
export type SectionName =
  | { readonly kind: 'settings' }
  | {
      readonly kind: 'deployment';
      /** `Echo`, or `Echo.fast` */
      readonly deployment: string;
      readonly packageName: string;
    }
  | { readonly kind: 'unknown'; readonly mistake: FindingDraft };

/** Names become folders, module names and parts of keys, so they are of characters that are safe in all of them. */
const DEPLOYMENT_NAME = /^([A-Za-z][A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9][A-Za-z0-9_-]{0,62})?$/;

/** @param packages folders that exist, for suggestions */
export function nameSection(section: IniSection, packages: readonly string[]): SectionName {
  if (section.name === SETTINGS_SECTION) return { kind: 'settings' };
  const place = { line: section.line, section: section.name, key: null };
  if (!section.name.startsWith(DEPLOYMENT_PREFIX)) {
    const expected = `[${SETTINGS_SECTION}] or [${DEPLOYMENT_PREFIX}PACKAGE]`;
    const mistake = {
      ...place,
      expected,
      found: 'an unknown section',
      hint: suggestSection(section.name, packages),
    };
    return { kind: 'unknown', mistake };
  }
  const deployment = section.name.slice(DEPLOYMENT_PREFIX.length);
  const packageName = DEPLOYMENT_NAME.exec(deployment)?.[1];
  if (packageName !== undefined) return { kind: 'deployment', deployment, packageName };
  const expected =
    'a package, or a package, "." and a name, of letters, digits, "_" and "-", at most 63 characters each';
  return { kind: 'unknown', mistake: { ...place, expected, found: quoted(deployment), hint: '' } };
}

function suggestSection(name: string, packages: readonly string[]): string {
  const [first = '', ...rest] = name.split('.');
  const prefix = DEPLOYMENT_PREFIX.slice(0, -1);
  if (rest.length > 0 && nearest(first, [prefix]) !== null) {
    return `did you mean [${[prefix, ...rest].join('.')}]?`;
  }
  const packageName = nearest(first, packages);
  if (packageName !== null) return `did you mean [${[prefix, packageName, ...rest].join('.')}]?`;
  return nearest(name, [SETTINGS_SECTION]) === null ? '' : `did you mean [${SETTINGS_SECTION}]?`;
}
