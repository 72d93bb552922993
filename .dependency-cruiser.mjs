// The layer check, generated from test/arch/layers.ts. Run by `npm run check`.
import { apart, layers, openLayers, pure, reserved } from './test/arch/layers.ts';

const inLayer = (names) => `^src/(${names.join('|')})/`;
const error = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });

const closed = layers.filter((layer) => !openLayers.includes(layer));

export default {
  forbidden: [
    error(
      'no-circular',
      'Modules in a circle cannot be understood one by one.',
      {},
      { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    ),
    error(
      'no-orphans',
      'Nothing reaches this file.',
      { orphan: true, path: '^src/', pathNot: ['^src/cli\\.ts$', '\\.d\\.ts$'] },
      {},
    ),
    error('resolvable', 'The import leads nowhere.', {}, { couldNotResolve: true }),
    error(
      'no-dev-dependencies',
      'A user does not have development dependencies.',
      { path: '^src/' },
      { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], pathNot: 'node_modules/@types/' },
    ),
    error('src-alone', 'The server does not import its tests.', { path: '^src/' }, { path: '^(test|\\.ci|dist)/' }),
    ...layers.map((layer, index) =>
      error(
        `layer-${layer}`,
        'Calls go down: a module imports only what stands before it.',
        { path: inLayer([layer]) },
        { path: [...(index + 1 < layers.length ? [inLayer(layers.slice(index + 1))] : []), '^src/[^/]+\\.ts$'] },
      ),
    ),
    ...closed.map((layer) =>
      error(
        `front-door-${layer}`,
        'Another module is imported through its index.ts.',
        { path: '^src/', pathNot: inLayer([layer]) },
        { path: inLayer([layer]), pathNot: `^src/${layer}/index\\.ts$` },
      ),
    ),
    ...Object.entries(apart).map(([layer, others]) =>
      error(`apart-${layer}`, 'These two meet on the bus only.', { path: inLayer([layer]) }, { path: inLayer(others) }),
    ),
    ...Object.entries(reserved).map(([name, places]) =>
      error(
        `reserved-${name}`,
        'This package has one owner.',
        { path: '^src/', pathNot: places.map((place) => `^${place}`) },
        { path: `node_modules/(@types/)?${name}/` },
      ),
    ),
    error(
      'pure',
      'Specification logic takes values and gives verdicts.',
      { path: inLayer([pure.layer]) },
      { path: `^(node:)?(${pure.builtins.join('|')})$` },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    parser: 'swc',
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
