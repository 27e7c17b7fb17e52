import type { ApplyAnswer } from '../admin/types.ts';
import type { DeploymentProgress, Progress } from '../cluster/status/types.ts';
import { renderPreparation, renderProgress } from './apply-view.ts';
import { print } from './output.ts';

/**
 * Prints a line per deployment, again whenever it has changed; where nothing changes, only what is still under way. What
 * nodes prepare is shown below: as it is now on a terminal, else a line for each that is said.
 */
export function progressView(
  answer: Pick<ApplyAnswer, 'outcome'>,
  terminal: Terminal | null,
): (progress: Progress) => void {
  const shown = new Map<string, string>();
  const live = terminal === null ? null : new LiveLines(terminal);
  const printOnce = (about: string, line: string, text: string = line): void => {
    if (shown.get(about) !== line) {
      live?.clear();
      print(text);
    }
    shown.set(about, line);
  };
  return ({ deployments }) => {
    const nameWidth = Math.max(0, ...deployments.map((one) => one.name.length));
    for (const one of deployments) {
      if (answer.outcome === 'unchanged' && one.settled && !shown.has(one.name)) continue;
      printOnce(one.name, renderProgress(one, nameWidth));
    }
    const lines = deployments.flatMap((one) => preparationsOf(one, nameWidth));
    if (live !== null) live.show(lines.map(({ text }) => text));
    else for (const { about, line, text } of lines) printOnce(about, line, text);
  };
}

interface PreparationLine {
  /** whose line it is */
  readonly about: string;
  /** what is said, without how long it takes */
  readonly line: string;
  readonly text: string;
}

function preparationsOf(one: DeploymentProgress, nameWidth: number): readonly PreparationLine[] {
  return one.preparing.map((preparation) => ({
    about: `${one.name} ${preparation.node}`,
    line: preparation.line,
    text: renderPreparation(one.name, preparation, nameWidth),
  }));
}

/** What lines that are drawn over each other need of a terminal. */
export interface Terminal {
  readonly columns: number;
  write(text: string): unknown;
}

/** Lines at the end of a terminal's output that are drawn anew in their place. */
class LiveLines {
  readonly #terminal: Terminal;
  #count = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(lines: readonly string[]): void {
    this.clear();
    // A line that wraps would take more rows than are cleared.
    for (const line of lines) this.#terminal.write(`${line.slice(0, this.#terminal.columns - 1)}\n`);
    this.#count = lines.length;
  }

  clear(): void {
    if (this.#count > 0) this.#terminal.write(`\u001b[${this.#count}A\u001b[J`);
    this.#count = 0;
  }
}
