import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { HighlightStyle, StreamLanguage, syntaxHighlighting } from '@codemirror/language';
import { properties } from '@codemirror/legacy-modes/mode/properties';
import { type Diagnostic, linter, lintGutter } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import { drawSelection, EditorView, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { PlacedFinding } from '../../config/finding.ts';

/** How long a person pauses before the text is checked. */
const PAUSE_MS = 350;

const COLORS = HighlightStyle.define([
  { tag: tags.comment, color: 'var(--quiet)' },
  { tag: tags.heading, color: 'var(--accent)', fontWeight: '600' },
  { tag: tags.definition(tags.atom), color: 'var(--busy)' },
  { tag: tags.atom, color: 'var(--busy)' },
  { tag: tags.quote, color: 'var(--good)' },
]);

const LOOKS = EditorView.theme({
  '&': { fontSize: '13.5px', maxHeight: '65vh' },
  '&.cm-focused': { outline: '2px solid var(--accent)', outlineOffset: '-2px' },
  '.cm-scroller': {
    fontFamily: 'ui-monospace, Menlo, Consolas, monospace',
    lineHeight: '1.55',
    overflow: 'auto',
  },
  '.cm-gutters': { background: 'transparent', color: 'var(--quiet)', border: '0' },
  '.cm-content, .cm-gutters': { minHeight: '160px' }, // also where there is nothing yet
  '.cm-content': { caretColor: 'var(--text)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '.cm-tooltip': { background: 'var(--card)', color: 'var(--text)', border: '1px solid var(--line)' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { background: 'var(--accent-soft)' },
});

/**
 * An editor of a conf.ini in an element.
 * @param check says what is wrong with a text; asked while a person types
 */
export function openEditor(
  parent: HTMLElement,
  text: string,
  on: {
    readonly change: (text: string) => void;
    readonly check: (text: string) => Promise<readonly PlacedFinding[]>;
  },
): EditorView {
  const marks = linter(
    async (view) => (await on.check(view.state.doc.toString())).map((one) => markOf(view.state, one)),
    { delay: PAUSE_MS },
  );
  return new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(),
        history(),
        drawSelection(),
        keymap.of([...defaultKeymap, ...historyKeymap]), // the tabulator leads on to the buttons
        StreamLanguage.define(properties),
        syntaxHighlighting(COLORS),
        lintGutter(),
        marks,
        LOOKS,
        EditorView.contentAttributes.of({ 'aria-label': 'conf.ini', spellcheck: 'false', tabindex: '0' }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) on.change(update.state.doc.toString());
        }),
      ],
    }),
  });
}

/** Another text in place of all of it; can be undone. */
export function put(view: EditorView, text: string): void {
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
}

/** Brings a person to where a finding is. */
export function showPlace(view: EditorView, finding: PlacedFinding): void {
  const { from, to } = markOf(view.state, finding);
  view.dispatch({ selection: { anchor: from, head: to }, scrollIntoView: true });
  view.focus();
}

function markOf(
  state: EditorState,
  { line, column, endColumn, severity, message }: PlacedFinding,
): Diagnostic {
  const at = state.doc.line(Math.min(Math.max(line ?? 1, 1), state.doc.lines));
  const from = Math.min(at.from + Math.max(0, (column ?? 1) - 1), at.to);
  const to = endColumn === null ? at.to : Math.min(at.from + endColumn - 1, at.to);
  return { from, to: Math.max(from, to), severity: severity === 'mistake' ? 'error' : 'warning', message };
}
