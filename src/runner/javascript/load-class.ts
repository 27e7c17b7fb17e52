import { pathToFileURL } from 'node:url';
import { ServeError } from '../../lib/errors.ts';
import type { BackendRequest } from './request.ts';

/** An instance of the user's class, as docs/backends.md describes it. */
export interface Backend {
  init?(): unknown;
  call?(request: BackendRequest): unknown;
  /** the name of the same method in a Python backend */
  __call__?(request: BackendRequest): unknown;
  /** instead of `call`: gets the JSON body, or the query parameters */
  predict?(parameters: unknown): unknown;
  /** gets the parameters of several requests, and returns as many results */
  predictBatch?(items: unknown[]): unknown;
  reconfigure?(config: unknown): unknown;
  health?(): unknown;
  shutdown?(): unknown;
}

export type BackendClass = new (modelPath: string) => Backend;

/**
 * Imports a backend file and finds its class: exported under its name, or as default when the default export has that name or none.
 * What the import itself throws passes through.
 * @throws ServeError NO_BACKEND_CLASS listing what the file does export
 */
export async function loadBackendClass(file: string, className: string): Promise<BackendClass> {
  const exported: Record<string, unknown> = await import(pathToFileURL(file).href);
  const found = exported[className] ?? defaultAs(exported['default'], className);
  if (isClass(found)) return found;
  const names = Object.keys(exported).filter((name) => name !== 'module.exports');
  throw new ServeError(
    `${file} exports no class ${className}: expected "export class ${className}", found ${
      names.length === 0 ? 'no exports' : names.map((name) => nameOf(name, exported[name])).join(', ')
    }`,
    { code: 'NO_BACKEND_CLASS' },
  );
}

/** The default export, if it may be meant; a CommonJS file has its exports in there as well. */
function defaultAs(value: unknown, className: string): unknown {
  if (typeof value === 'function')
    return ['', 'default', className].includes(bareName(value.name)) ? value : null;
  if (typeof value === 'object' && value !== null) return (value as Record<string, unknown>)[className];
  return null;
}

/** An anonymous default class is called `backend_default` once bundled. */
function bareName(name: string): string {
  return name === 'backend_default' || name === 'stdin_default' ? '' : name;
}

function isClass(value: unknown): value is BackendClass {
  return typeof value === 'function' && typeof value.prototype === 'object';
}

function nameOf(name: string, value: unknown): string {
  return name === 'default' && typeof value === 'function' ? `default (${value.name})` : name;
}
