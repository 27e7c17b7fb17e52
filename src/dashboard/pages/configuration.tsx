import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { trouble } from '../app/api.ts';
import { linkTo } from '../app/router.ts';
import { Empty, Notice } from '../parts/card.tsx';
import { HistoryView } from './history.tsx';

/** The configuration in force, to be edited, and what it was before. */
export function ConfigurationPage({ rest: [tab = 'edit'] }: { readonly rest: readonly string[] }) {
  return (
    <>
      <div class="head">
        <h1>Configuration</h1>
        <nav class="row views" aria-label="Views of the configuration">
          <a href={linkTo('configuration')} aria-current={tab === 'edit' ? 'page' : undefined}>
            Edit
          </a>
          <a href={linkTo('configuration', 'history')} aria-current={tab === 'history' ? 'page' : undefined}>
            History
          </a>
        </nav>
      </div>
      {tab === 'history' ? <HistoryView /> : <EditorWhenLoaded />}
    </>
  );
}

/** The editor is the largest part of the dashboard: only this page loads it. */
function EditorWhenLoaded() {
  const [Editor, setEditor] = useState<ComponentType | null>(null);
  const [isMissing, setMissing] = useState(false);
  const isAway = trouble.value !== null;
  useEffect(() => {
    if (Editor !== null || isAway) return;
    import('./conf-editor.tsx').then(
      ({ ConfEditor }) => setEditor(() => ConfEditor),
      () => setMissing(true),
    );
  }, [isAway]);
  if (Editor !== null) return <Editor />;
  if (!isMissing || isAway) return <Empty>Loading the editor …</Empty>;
  return (
    <Notice tone="bad" title="The editor could not be loaded.">
      <p>The head was away, or has another version now. Load the page again.</p>
      <div class="row">
        <button type="button" onClick={() => location.reload()}>
          Load again
        </button>
      </div>
    </Notice>
  );
}
