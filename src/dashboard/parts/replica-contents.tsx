import type { EnvironmentDetail, EnvironmentList, ReplicaAbout } from '../../admin/types.ts';
import { sizeText } from '../../cluster/placement/amounts.ts';
import { usePolled } from '../app/use-polled.ts';
import { Card, Empty, Notice } from './card.tsx';
import { Scroll } from './scroll.tsx';

const EVERY_MS = 15_000;
/** Of a hash; by so many an environment notes who uses it. */
const HASH_SHOWN = 16;

/** What a replica was started from: its package, what that runs in, and its model files. */
export function ReplicaContents({ replica, node }: { readonly replica: string; readonly node: string }) {
  const { data, error } = usePolled<ReplicaAbout>(`replicas/${encodeURIComponent(replica)}`, EVERY_MS);
  const built = usePolled<EnvironmentList>(`environments?node=${encodeURIComponent(node)}`, EVERY_MS);
  if (error !== null) return <Notice tone="warn" title={error} />;
  if (data === null) return null;
  return (
    <>
      <Card title="Environment">
        <Runs about={data} built={built.data} />
      </Card>
      <Card title="Model files">
        <Models models={data.models} />
      </Card>
    </>
  );
}

function Runs({ about, built }: { readonly about: ReplicaAbout; readonly built: EnvironmentList | null }) {
  const { package: code, backend, variables } = about;
  const used = environmentOf(about, built?.environments ?? []);
  return (
    <dl>
      <dt>Package</dt>
      <dd>
        {code.name} <span class="mono quiet">{code.hash.slice(0, HASH_SHOWN)}</span>
      </dd>
      <dt>Class</dt>
      <dd class="mono">{backend}</dd>
      <dt>Runs in</dt>
      <dd>{used === null ? askedFor(about) : used.description}</dd>
      {used !== null && (
        <>
          <dt>On disk</dt>
          <dd>
            {sizeText(used.sizeBytes)} <span class="mono quiet">{used.key}</span>
          </dd>
        </>
      )}
      <dt>Variables</dt>
      <dd class="mono">{variables.length === 0 ? '–' : variables.join(', ')}</dd>
    </dl>
  );
}

/** The newest of those that were prepared for this very package. */
function environmentOf(
  { package: code }: ReplicaAbout,
  environments: readonly EnvironmentDetail[],
): EnvironmentDetail | null {
  const hash = code.hash.slice(0, HASH_SHOWN);
  const used = environments.filter(({ packageHashes }) => packageHashes.includes(hash));
  return used.sort((left, right) => right.lastUsed.localeCompare(left.lastUsed))[0] ?? null;
}

function askedFor({ environment, python }: ReplicaAbout): string {
  if (environment !== null) return environment;
  return python === null ? 'what the node has; the package asks for nothing' : `Python ${python} of the node`;
}

function Models({ models }: { readonly models: ReplicaAbout['models'] }) {
  if (models.length === 0) return <Empty>It has none.</Empty>;
  return (
    <Scroll name="Model files">
      <table>
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col">SHA-256</th>
          </tr>
        </thead>
        <tbody>
          {models.map(({ name, size_bytes: bytes, sha256 }) => (
            <tr key={name}>
              <td class="mono">{name}</td>
              <td class="number">{sizeText(bytes)}</td>
              <td class="mono quiet" title={sha256 ?? ''}>
                {sha256 === null ? 'comes while it is loaded' : sha256.slice(0, HASH_SHOWN)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
