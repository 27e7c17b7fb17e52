import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Routes } from '../../src/ingress/routes.ts';
import { routeOf } from './test-node.ts';

it('finds the longest route that is the path or a beginning of it up to a slash', () => {
  const segment = fc.constantFrom('a', 'b', 'ab', 'ü');
  const path = fc.array(segment, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'));
  fc.assert(
    fc.property(
      fc.uniqueArray(path, { maxLength: 6 }),
      path,
      fc.constantFrom('', '/'),
      (names, asked, slash) => {
        const routes = new Routes({
          deployments: names.map((route) => routeOf({ route, deployment: route })),
        });
        const wanted = names
          .filter((name) => asked === name || asked.startsWith(`${name}/`))
          .sort((left, right) => right.length - left.length)[0];
        expect(routes.find(`/${asked}${slash}`)?.route).toBe(wanted);
        expect(routes.find(encodeURI(`/${asked}${slash}`))?.route).toBe(wanted);
      },
    ),
  );
});
