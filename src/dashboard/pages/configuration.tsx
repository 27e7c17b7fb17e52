import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { linkTo } from '../app/router.ts';
import { Empty } from '../parts/card.tsx';
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
  useEffect(() => {
    void import('./conf-editor.tsx').then(({ ConfEditor }) => setEditor(() => ConfEditor));
  }, []);
  return Editor === null ? <Empty>Loading the editor …</Empty> : <Editor />;
}
