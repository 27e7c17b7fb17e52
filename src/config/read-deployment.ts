import { join } from 'node:path';
import { CHECKSUM_AGENT } from '../cluster/spec/agents.ts';
import type { DeploymentSpec } from '../cluster/spec/types.ts';
import { findEnvironmentMistakes } from './environment-mistakes.ts';
import type { FindingDraft } from './finding.ts';
import type { IniSection } from './ini-lines.ts';
import { checkReferences, type Project, type Reference } from './project.ts';
import { readAgentKeys } from './read-agents.ts';
import { readEnvironmentKeys, readFields } from './read-section.ts';
import { AGENT_KEY, DEPLOYMENT_KEYS, type DeploymentFields } from './schema.ts';
import type { SectionName } from './section-name.ts';
import { settleUserConfig } from './user-config.ts';

/** What an `[algopkg.*]` section gives. */
export interface DeploymentReading {
  /** null when the section has a mistake */
  readonly spec: DeploymentSpec | null;
  readonly section: string;
  /** where the route is given, or the section when it is the default; null: it is wrong */
  readonly route: { readonly path: string; readonly line: number } | null;
  readonly mistakes: readonly FindingDraft[];
  readonly warnings: readonly FindingDraft[];
}

/** Reads the keys of a section, and looks in the project's folders for what it names. */
export async function readDeployment(
  written: IniSection,
  name: Extract<SectionName, { kind: 'deployment' }>,
  project: Project,
): Promise<DeploymentReading> {
  const { section, mistakes: configMistakes } = await settleUserConfig(written, project.projectDir);
  const keys = readFields(DEPLOYMENT_KEYS, section, name.deployment);
  const environment = readEnvironmentKeys(section);
  const packageDir = join(project.packagesDir, name.packageName);
  const { agents, mistakes: agentMistakes } = readAgentKeys(section, packageDir);
  const check = await checkReferences(project, referenceOf(section, name.packageName, keys.fields));
  const mistakes = [
    ...configMistakes,
    ...keys.mistakes,
    ...environment.mistakes,
    ...agentMistakes,
    ...findConflicts(section, keys.fields),
    ...check.mistakes,
    ...findEnvironmentMistakes(section, keys.fields, {
      language: check.language,
      packageName: name.packageName,
      packageDir,
    }),
  ];
  const { route } = keys.fields;
  const spec: DeploymentSpec | null =
    mistakes.length > 0 || keys.complete === null || check.language === null
      ? null
      : {
          name: name.deployment,
          packageName: name.packageName,
          language: check.language,
          ...keys.complete,
          maxOngoingRequests: roomForBatches(section, keys.complete),
          env: environment.variables,
          ...(Object.keys(agents).length === 0 ? {} : { agents }),
        };
  return {
    spec,
    section: section.name,
    route: route === undefined ? null : { path: route, line: lineOf(section, DEPLOYMENT_KEYS.route.name) },
    mistakes,
    warnings: [
      ...check.warnings,
      ...findIdleConcurrency(section, keys.fields),
      ...findUnfilledBatches(section, keys.fields),
    ],
  };
}

/** Keys that cannot stand beside each other. */
function findConflicts(
  section: IniSection,
  { stream, runAs }: Partial<DeploymentFields>,
): readonly FindingDraft[] {
  const entry = section.entries.find(({ key }) => key.startsWith(AGENT_KEY.prefix));
  const module = section.entries.find(
    ({ key }) => key.startsWith(AGENT_KEY.prefix) && !key.startsWith(`${AGENT_KEY.prefix}${CHECKSUM_AGENT}.`),
  );
  const hint = 'leave one of the two out';
  const isStreamed = stream !== undefined && stream !== false;
  const found = `"${DEPLOYMENT_KEYS.stream.name} = ${DEPLOYMENT_KEYS.stream.form.write(stream ?? false)}"`;
  const isOther = runAs !== undefined && runAs !== null;
  const place = { section: section.name, hint };
  const runAsAt = { key: DEPLOYMENT_KEYS.runAs.name, line: lineOf(section, DEPLOYMENT_KEYS.runAs.name) };
  return [
    // An agent would look at files that have not come yet, past whoever waits for them.
    ...(isStreamed && entry !== undefined
      ? [
          {
            ...{ ...place, line: entry.line, key: entry.key, found },
            expected: 'whole models for agents to look at',
          },
        ]
      : []),
    // A module of the package would run as the node does.
    ...(isOther && module !== undefined
      ? [
          {
            ...place,
            ...runAsAt,
            found: `"${module.key}"`,
            expected: 'no code of the package that runs as the node',
          },
        ]
      : []),
    // Who waits for a file asks the node, which listens to its own user alone.
    ...(isOther && isStreamed
      ? [{ ...place, ...runAsAt, found, expected: 'whole models for another user' }]
      : []),
  ];
}

/** A route that two sections claim, named at the second and at each further one. */
export function findSharedRoutes(readings: readonly DeploymentReading[]): readonly FindingDraft[] {
  const owners = new Map<string, DeploymentReading>();
  const mistakes: FindingDraft[] = [];
  for (const reading of readings) {
    if (reading.route === null) continue;
    const { path, line } = reading.route;
    const owner = owners.get(path);
    if (owner === undefined) {
      owners.set(path, reading);
      continue;
    }
    const found = `"${path}", which [${owner.section}] has at line ${owner.route?.line ?? 0}`;
    const place = { line, section: reading.section, key: DEPLOYMENT_KEYS.route.name };
    mistakes.push({ ...place, expected: 'a route of its own', found, hint: '' });
  }
  return mistakes;
}

function referenceOf(section: IniSection, packageName: string, fields: Partial<DeploymentFields>): Reference {
  const { backend, models } = fields;
  return {
    section: section.name,
    sectionLine: section.line,
    packageName,
    backend:
      backend === undefined ? null : { name: backend, line: lineOf(section, DEPLOYMENT_KEYS.backend.name) },
    models: { names: models ?? [], line: lineOf(section, DEPLOYMENT_KEYS.models.name) },
  };
}

function lineOf(section: IniSection, key: string): number {
  return section.entries.find((entry) => entry.key === key)?.line ?? section.line;
}

/** A replica is kept busy by the batches in the class and one that gathers meanwhile. What conf.ini says counts as it is. */
function roomForBatches(section: IniSection, fields: DeploymentFields): number {
  const { concurrency, maxBatchSize, maxOngoingRequests } = fields;
  const isGiven = section.entries.some((entry) => entry.key === DEPLOYMENT_KEYS.maxOngoingRequests.name);
  if (isGiven || maxBatchSize === 1) return maxOngoingRequests;
  return Math.max(maxOngoingRequests, maxBatchSize * (concurrency + 1));
}

/** Larger batches than a replica takes requests. */
function findUnfilledBatches(
  section: IniSection,
  { maxBatchSize, maxOngoingRequests }: Partial<DeploymentFields>,
): readonly FindingDraft[] {
  const key = DEPLOYMENT_KEYS.maxOngoingRequests.name;
  if (maxBatchSize === undefined || maxOngoingRequests === undefined) return [];
  if (maxBatchSize <= maxOngoingRequests || !section.entries.some((entry) => entry.key === key)) return [];
  return [
    {
      line: lineOf(section, key),
      section: section.name,
      key,
      expected: `at least max_batch_size, ${maxBatchSize}, better twice that`,
      found: `"${maxOngoingRequests}"`,
      hint: 'no batch ever gets full: raise it, or leave it out',
    },
  ];
}

/** More calls at once than a replica takes requests: the surplus would never be used. */
function findIdleConcurrency(
  section: IniSection,
  { concurrency, maxBatchSize, maxOngoingRequests }: Partial<DeploymentFields>,
): readonly FindingDraft[] {
  if (concurrency === undefined || maxOngoingRequests === undefined || maxBatchSize !== 1) return [];
  if (concurrency <= maxOngoingRequests) return [];
  const key = DEPLOYMENT_KEYS.concurrency.name;
  return [
    {
      line: lineOf(section, key),
      section: section.name,
      key,
      expected: `at most max_ongoing_requests, ${maxOngoingRequests}`,
      found: `"${concurrency}"`,
      hint: 'a replica never has that many requests: raise max_ongoing_requests, too',
    },
  ];
}
