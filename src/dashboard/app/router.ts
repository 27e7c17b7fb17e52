import { signal } from '@preact/signals';

/** The parts of the address behind `#/`, decoded: `#/deployments/Echo` is ['deployments', 'Echo']. */
export const place = signal<readonly string[]>(placeNow());

/** Whether the last link that was followed stood in the content, which is gone with it. */
export let cameFromContent = false;

/** Follows the address. @returns what ends that */
export function followAddress(): () => void {
  const follow = (): void => {
    cameFromContent = document.getElementById('main')?.contains(document.activeElement) ?? false;
    place.value = placeNow();
    window.scrollTo(0, 0);
  };
  window.addEventListener('hashchange', follow);
  return () => window.removeEventListener('hashchange', follow);
}

/** The address of a place, for links. */
export function linkTo(...parts: readonly string[]): string {
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

function placeNow(): readonly string[] {
  return location.hash
    .replace(/^#\/?/, '')
    .split('/')
    .filter((part) => part !== '')
    .map(decoded);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // somebody typed it
  }
}
