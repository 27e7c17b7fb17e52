// Layer rules for dependency-cruiser: imports run one way (docs/architecture.md, "Rooms").
const PARTS = ['store', 'packages', 'models', 'channel'];
const SERVICES = ['agent', 'ingress', 'controller', 'admin', 'runner', 'connector'];
const LAYERS = [['lib'], ['cluster'], ['config'], ['telemetry'], PARTS, SERVICES, ['roles'], ['cli']];
const at = (names) => `^src/(${names.join('|')})/`;

const upward = LAYERS.slice(0, -1).map((names, index) => ({
  name: `no-upward-import:${names.join('+')}`,
  severity: 'error',
  from: { path: at(names) },
  to: { path: at(LAYERS.slice(index + 1).flat()) },
}));
const siblings = (kind, names) => ({
  name: `no-sibling-import:${kind}`,
  severity: 'error',
  from: { path: `^src/(${names.join('|')})/` },
  to: { path: at(names), pathNot: '^src/$1/' },
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    { name: 'cluster-is-pure', severity: 'error', from: { path: at(['cluster']) }, to: { dependencyTypes: ['npm', 'core'] } },
    { name: 'redis-only-in-store', severity: 'error', from: { path: '^src/', pathNot: '^src/store/' }, to: { path: 'node_modules/(ioredis|bullmq)/' } },
    { name: 'spawn-only-in-lib-process', severity: 'error', from: { path: '^src/', pathNot: '^src/lib/process/' }, to: { path: '^(node:)?child_process$|node_modules/execa/' } },
    // What runs in a browser shares types with the API, and of the servers' code only what is pure.
    { name: 'dashboard-shares-types-only', severity: 'error', from: { path: '^src/dashboard/' }, to: { path: '^src/', pathNot: '^src/(dashboard|cluster)/', dependencyTypesNot: ['type-only'] } },
    { name: 'nothing-needs-the-dashboard', severity: 'error', from: { path: '^src/', pathNot: '^src/dashboard/' }, to: { path: '^src/dashboard/' } },
    ...upward,
    siblings('parts', PARTS),
    siblings('services', SERVICES),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types'] },
  },
};
