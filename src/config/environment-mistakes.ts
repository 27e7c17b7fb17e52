import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { CONDA_FILES, parseEnvironment } from '../cluster/environments/choose.ts';
import type { EnvironmentWish } from '../cluster/environments/types.ts';
import type { Language } from '../cluster/spec/types.ts';
import { type FindingDraft, quoted } from './finding.ts';
import type { IniSection } from './ini-lines.ts';
import { DEPLOYMENT_KEYS, type DeploymentFields } from './schema.ts';

interface Backend {
  /** null: there is no backend file, which was said before */
  readonly language: Language | null;
  readonly packageName: string;
  readonly packageDir: string;
}

interface Facts {
  readonly fields: Partial<DeploymentFields>;
  readonly language: Language;
  /** null: `environment` is not given, or wrong */
  readonly wish: EnvironmentWish | null;
  readonly condaFile: string | null;
  readonly folder: string;
  /** as people name it: `algopkg/Echo` */
  readonly label: string;
}

type Mistake = Pick<FindingDraft, 'key' | 'expected' | 'hint'>;

/** Keys about environments that contradict each other, the language, or what the package has. */
export function findEnvironmentMistakes(
  section: IniSection,
  fields: Partial<DeploymentFields>,
  { language, packageName, packageDir }: Backend,
): readonly FindingDraft[] {
  if (language === null) return [];
  const facts: Facts = {
    fields,
    language,
    wish: fields.environment == null ? null : parseEnvironment(fields.environment),
    condaFile: CONDA_FILES.find((name) => existsSync(join(packageDir, name))) ?? null,
    folder: packageDir,
    label: `algopkg/${packageName}`,
  };
  return [kindMistake(facts), pythonMistake(facts), wheelsMistake(facts)].flatMap((mistake) =>
    mistake === null ? [] : [placed(section, mistake)],
  );
}

function placed(section: IniSection, mistake: Mistake): FindingDraft {
  const entry = section.entries.find(({ key }) => key === mistake.key);
  return {
    ...mistake,
    line: entry?.line ?? section.line,
    section: section.name,
    found: quoted(entry?.value ?? ''),
  };
}

function kindMistake({ wish, language, condaFile, label }: Facts): Mistake | null {
  if (wish === null) return null;
  const key = DEPLOYMENT_KEYS.environment.name;
  if ((wish.kind === 'npm') !== (language === 'javascript')) {
    const written = language === 'python' ? 'Python' : 'JavaScript';
    const expected = language === 'python' ? 'an environment for Python' : 'npm, or no such line';
    return { key, expected, hint: `the backend is written in ${written}` };
  }
  if (wish.kind !== 'conda' || condaFile !== null) return null;
  const hint = `write ${label}/environment.yml; an environment that is there already is conda:NAME`;
  return { key, expected: `a file ${CONDA_FILES[0]} for environment = conda`, hint };
}

/** An interpreter for an environment that brings its own. */
function pythonMistake({ fields, wish, condaFile, label }: Facts): Mistake | null {
  if (fields.python == null) return null;
  const key = DEPLOYMENT_KEYS.python.name;
  if (wish?.kind === 'conda' || wish?.kind === 'conda-named' || wish?.kind === 'path') {
    const hint = 'it has an interpreter of its own: take one of the two lines out';
    return { key, expected: `no such line beside environment = ${fields.environment}`, hint };
  }
  if (fields.environment != null || condaFile === null) return null;
  const hint = 'name the version there, or set environment = venv';
  return { key, expected: `no such line beside ${label}/${condaFile}`, hint };
}

function wheelsMistake({ fields, wish, language, folder, label }: Facts): Mistake | null {
  const { wheels } = fields;
  if (wheels == null) return null;
  const key = DEPLOYMENT_KEYS.wheels.name;
  if (language !== 'python' || (wish !== null && wish.kind !== 'venv')) {
    const expected = 'no such line unless the backend runs in a virtual environment';
    return { key, expected, hint: 'wheels are for environment = venv' };
  }
  if (isAbsolute(wheels) || existsSync(join(folder, wheels))) return null;
  return { key, expected: `a folder in ${label}`, hint: `it should be ${join(label, wheels)}` };
}
