import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { askWhoWeAre, isLoggedIn, readOnly, send, trouble } from '../app/api.ts';
import { confDraft, isConfEdited } from '../app/conf-draft.ts';
import { followCluster, lately, status } from '../app/live.ts';
import { cameFromContent, followAddress, linkTo, place } from '../app/router.ts';
import { nextTheme, theme } from '../app/theme.ts';
import { countText } from '../app/words.ts';
import { Empty, Notice } from '../parts/card.tsx';
import { ConfigurationPage } from './configuration.tsx';
import { DeploymentPage } from './deployment.tsx';
import { DeploymentsPage } from './deployments.tsx';
import { EventsPage } from './events.tsx';
import { LoginPage } from './login.tsx';
import { NodesPage } from './nodes.tsx';
import { OverviewPage } from './overview.tsx';
import { problemsOf } from './problems.ts';
import { ReplicaPage } from './replica.tsx';

const PAGES: readonly { readonly path: string; readonly name: string }[] = [
  { path: '', name: 'Overview' },
  { path: 'deployments', name: 'Deployments' },
  { path: 'nodes', name: 'Nodes' },
  { path: 'configuration', name: 'Configuration' },
  { path: 'events', name: 'Events' },
];

/** What is shown for the first part of the address; the rest of it is the page's own. */
const SHOWN: Readonly<Record<string, ComponentType<{ readonly rest: readonly string[] }>>> = {
  '': OverviewPage,
  deployments: DeploymentsPage,
  deployment: DeploymentPage,
  replicas: ReplicaPage,
  nodes: NodesPage,
  configuration: ConfigurationPage,
  events: EventsPage,
};

/** A head that is out of reach when the page is opened is asked again after so long. */
const AGAIN_AFTER_MS = 3_000;

/** All of the dashboard: the login form, or the pages with their frame. */
export function App() {
  useEffect(followAddress, []);
  const isKnown = isLoggedIn.value !== null;
  useEffect(() => {
    if (isKnown) return;
    const who = (): void => void askWhoWeAre().catch(() => undefined); // out of reach, or not logged in: both are said
    who();
    const timer = setInterval(who, AGAIN_AFTER_MS);
    return () => clearInterval(timer);
  }, [isKnown]);
  if (isLoggedIn.value === null)
    return trouble.value === null ? null : <Notice tone="bad" title={trouble.value} />;
  return isLoggedIn.value ? <Frame /> : <LoginPage />;
}

function Frame() {
  useEffect(followCluster, []);
  const [first = '', ...rest] = place.value;
  const Page = SHOWN[first];
  useEffect(() => {
    document.title = titleOf(first, rest);
    if (cameFromContent) document.getElementById('main')?.focus({ preventScroll: true });
  }, [first, rest.join('/')]);
  return (
    <div class="shell">
      <button type="button" class="skip" onClick={toContent}>
        To the content
      </button>
      <Side current={first} />
      <main id="main" tabIndex={-1}>
        {trouble.value !== null && <Notice tone="bad" title={trouble.value} />}
        {Page === undefined ? (
          <Empty>There is no such page.</Empty>
        ) : (
          <Page key={place.value.join('/')} rest={rest} />
        )}
      </main>
    </div>
  );
}

function Side({ current }: { readonly current: string }) {
  const cluster = status.value;
  const problems = cluster === null ? 0 : problemsOf(cluster, lately.value).length;
  return (
    <header class="side">
      <a class="brand" href={linkTo()}>
        <img src="./icon.svg" alt="" /> modelserve
      </a>
      <nav aria-label="Pages">
        {PAGES.map(({ path, name }) => (
          <a key={path} href={linkTo(path)} aria-current={isIn(current, path) ? 'page' : undefined}>
            {name}
            {path === '' && problems > 0 && (
              <span class="badge bad" title={countText(problems, 'problem')}>
                {problems}
              </span>
            )}
            {path === 'configuration' && isConfEdited.value && (
              <span class="dot" role="img" aria-label="edited, not applied" title="edited, not applied" />
            )}
          </a>
        ))}
      </nav>
      <div class="foot">
        {cluster !== null && (
          <span class="quiet small">
            cluster {cluster.cluster}
            <br />
            revision {cluster.revision}
          </span>
        )}
        {readOnly.value !== null && (
          <span class="badge" title={readOnly.value}>
            read only
          </span>
        )}
        <button
          type="button"
          class="plain small"
          onClick={nextTheme}
          aria-label={`Colours: ${theme.value}; change`}
        >
          ◐ {theme.value}
        </button>
        <button type="button" class="plain small" onClick={logOut}>
          Log out
        </button>
      </div>
    </header>
  );
}

/** A button, not a link: the address behind the # is that of a page. */
function toContent(): void {
  const main = document.getElementById('main');
  main?.focus();
  main?.scrollIntoView();
}

async function logOut(): Promise<void> {
  await send('DELETE', 'session').catch(() => undefined);
  confDraft.value = null;
  isLoggedIn.value = false;
}

function isIn(current: string, path: string): boolean {
  if (path === 'deployments') return ['deployments', 'deployment', 'replicas'].includes(current);
  return current === path;
}

function titleOf(first: string, rest: readonly string[]): string {
  const page = PAGES.find(({ path }) => path === first)?.name;
  const name = rest[0] === 'history' ? 'History of the configuration' : (rest[0] ?? page ?? 'No such page');
  return `${name} · modelserve`;
}
