import type { Effect } from '../cluster/spec/types.ts';
import { MODELCAR_KEYS } from './modelcar.ts';
import { AGENT_KEY, DEPLOYMENT_KEYS, EFFECTS, ENVIRONMENT_KEY, type Key, SETTINGS_KEYS } from './schema.ts';

/** Every key of conf.ini as plain text, at most 80 columns wide. */
export function configReference(): string {
  const effects = Object.entries(EFFECTS).map(
    ([effect, meaning]) => `  ${effect.padEnd(13)}${plain(meaning)}`,
  );
  const parts = [
    ['The effect of a change:', ...effects].join('\n'),
    ...SECTIONS.flatMap((section) => [
      section.header,
      indent(wrap(plain(section.about), 76), 2),
      ...section.keys.map(keyAsText),
    ]),
  ];
  return `${parts.join('\n\n')}\n`;
}

/** Every key of conf.ini as a Markdown page: docs/configuration.md. */
export function configMarkdown(): string {
  const effects = Object.entries(EFFECTS).map(([effect, meaning]) => `| ${effect} | ${meaning} |`);
  const parts = [
    '# Configuration',
    INTRODUCTION,
    ['| effect of a change | what happens |', '|---|---|', ...effects].join('\n'),
    READING_RULES,
    ...SECTIONS.flatMap((section) => [
      `## \`${section.header}\``,
      section.about,
      ['| key | default | effect |', '|---|---|---|', ...section.keys.map(keyAsRow)].join('\n'),
      ...section.keys.map(keyAsMarkdown),
    ]),
  ];
  return `${parts.join('\n\n')}\n`;
}

/** A key of either table, as the page shows it. */
interface ReferenceKey {
  readonly name: string;
  readonly expected: string;
  /** as it would be written; in parentheses where it is no text to write */
  readonly fallback: string;
  readonly effect: Effect;
  readonly description: string;
  readonly example: string;
}

function describeKey(key: Key<unknown>): ReferenceKey {
  const fallback =
    key.fallback === null ? '(must be given)' : key.form.write(key.fallback("(section's name)"));
  return {
    ...key,
    expected: key.form.expected,
    fallback: fallback === '' ? '(none)' : fallback,
    example: `${key.name} = ${key.example}`,
  };
}

const SECTIONS = [
  {
    header: '[MODEL SERVE]',
    about: 'What concerns every node. The section may be left out.',
    keys: [
      ...Object.values<Key<unknown>>(SETTINGS_KEYS).map(describeKey),
      ...MODELCAR_KEYS.map((key) => ({
        ...{ ...key, effect: 'routing' as const, example: `${key.name} = ${key.example}` },
        fallback: '(none)',
      })),
    ],
  },
  {
    header: '[algopkg.PACKAGE]',
    about:
      'A deployment of the package in the folder `algopkg/PACKAGE`. `[algopkg.PACKAGE.NAME]` deploys the same package once more under a name of its own; it inherits nothing.',
    keys: [
      ...Object.values<Key<unknown>>(DEPLOYMENT_KEYS).map(describeKey),
      { ...ENVIRONMENT_KEY, expected: 'any text', fallback: '(none)' },
      { ...AGENT_KEY, expected: 'a file of the package, a checksum, or any text', fallback: '(none)' },
    ],
  },
] as const;

const INTRODUCTION = `\`conf.ini\` says what a cluster serves. \`algopkg/\` (packages) and \`Model_ZOO/\` (model files) lie beside it. Edit it and run
\`modelserve controller\`: the difference takes effect while requests go on; with \`--dry-run\` it is only shown. To stop a
deployment, comment its section out. A file with a mistake changes nothing.

\`\`\`ini
[MODEL SERVE]
port = 8000

[algopkg.AlgoExample]
backend = algo_backend
model = algoexample_model_v1.json
replicas = 2
route = extract
\`\`\`

This page is made from the schema in \`src/config/schema.ts\`; \`modelserve config\` prints it. Every key names what its change does:`;

const READING_RULES = `A line that begins with \`#\` or \`;\` is a comment, and so is the rest of a line after a value, a space, and \`#\` or \`;\`. A value that
contains one of them stands in double quotes, \`"a;b"\`, or has a backslash before it. A value goes on one line. Each section
and each key comes once; upper and lower case differ. A switch is \`on\` or \`off\`; \`true\` and \`false\` mean the same.`;

function keyAsRow(key: ReferenceKey): string {
  // The heading's anchor: lower case, without the dot of env.NAME.
  const anchor = key.name.toLowerCase().replaceAll('.', '');
  return `| [${key.name}](#${anchor}) | ${fallbackAsMarkdown(key)} | ${key.effect} |`;
}

function fallbackAsMarkdown({ fallback }: ReferenceKey): string {
  return fallback.startsWith('(') ? fallback.slice(1, -1) : `\`${fallback}\``;
}

function keyAsMarkdown(key: ReferenceKey): string {
  return [
    `### ${key.name}`,
    key.description,
    `Expects ${key.expected}. Default: ${fallbackAsMarkdown(key)}. Effect: ${key.effect}.`,
    `\`\`\`ini\n${key.example}\n\`\`\``,
  ].join('\n\n');
}

function keyAsText(key: ReferenceKey): string {
  const facts = [
    wrap(`expects: ${key.expected}`, 74),
    `default: ${key.fallback}`,
    `effect:  ${key.effect}`,
    `example: ${key.example}`,
  ];
  return `  ${key.name}\n${indent([wrap(plain(key.description), 74), ...facts].join('\n'), 6)}`;
}

function plain(markdown: string): string {
  return markdown.replaceAll('`', '');
}

function wrap(text: string, width: number): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    const fits = last !== undefined && last.length + 1 + word.length <= width;
    lines.push(fits ? `${lines.pop()} ${word}` : word);
  }
  return lines.join('\n');
}

function indent(text: string, columns: number): string {
  return text.replace(/^/gm, ' '.repeat(columns));
}
