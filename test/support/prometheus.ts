/** Metrics as a scraper reads them: by name and labels, `name{a="b"}`. */
export type Scraped = ReadonlyMap<string, number>;

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"';
const LINE = new RegExp(
  `^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)?\\})? (NaN|[+-]Inf|-?[0-9.]+(?:e[+-]?[0-9]+)?)$`,
);

/**
 * Reads the text format by its rules, and throws where they are broken: help and type once and before the lines of a name, all
 * lines of a name together, no line twice, buckets that grow up to +Inf, which is the count.
 */
export function parseMetrics(text: string): Scraped {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const values = new Map<string, number>();
  const types = new Map<string, string>();
  let current = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const about = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (about !== null) {
      const [, kind, name = '', what = ''] = about;
      if (kind === 'HELP' && types.has(name)) throw new Error(`${name} comes in two blocks`);
      if (kind === 'TYPE' && types.get(name) !== '')
        throw new Error(`type of ${name} without help, or twice`);
      types.set(name, kind === 'HELP' ? '' : what);
      current = name;
      continue;
    }
    const [, name = '', labels = '', value = ''] = LINE.exec(line) ?? [];
    if (name === '') throw new Error(`no metric: ${line}`);
    if (familyOf(name, types) !== current) throw new Error(`${line} is not in the block of ${current}`);
    const key = labels === '' ? name : `${name}{${labels}}`;
    if (values.has(key)) throw new Error(`${key} comes twice`);
    values.set(key, Number(value.replace('Inf', 'Infinity')));
  }
  for (const [name, type] of types) if (type === 'histogram') checkHistogram(name, values);
  return values;
}

function familyOf(name: string, types: ReadonlyMap<string, string>): string {
  if (types.has(name)) return name;
  const family = name.replace(/_(bucket|sum|count)$/, '');
  return types.get(family) === 'histogram' ? family : '';
}

function checkHistogram(name: string, values: Scraped): void {
  const last = new Map<string, number>();
  for (const [key, value] of values) {
    const labels = new RegExp(`^${name}_bucket\\{(.*),?le="([^"]+)"\\}$`).exec(key)?.[1]?.replace(/,$/, '');
    if (labels === undefined) continue;
    if (value < (last.get(labels) ?? 0)) throw new Error(`${key} is less than the bucket before`);
    last.set(labels, value);
  }
  for (const [labels, value] of last) {
    const count = values.get(labels === '' ? `${name}_count` : `${name}_count{${labels}}`);
    if (count !== value) throw new Error(`${name}{${labels}}: +Inf has ${value}, the count is ${count}`);
  }
}
