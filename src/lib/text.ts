const LINE_LENGTH = 100;

/** Text for a line of progress: no longer than a line can be read at a glance. */
export function clipped(text: string): string {
  return text.length > LINE_LENGTH ? `${text.slice(0, LINE_LENGTH - 1)}…` : text;
}

/** A message with the details below it, unless it says them itself. */
export function withDetails(message: string, details: string): string {
  const text = details.trimEnd();
  return message.includes(text) ? message : `${message}\n${text}`;
}

/** Text as one word of a line that is made to be copied into a shell. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
