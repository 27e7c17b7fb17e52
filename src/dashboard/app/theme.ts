import { effect, signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';
const KEY = 'modelserve-theme';
const ORDER: readonly Theme[] = ['system', 'light', 'dark'];

export const theme = signal<Theme>(remembered());
const systemIsDark = matchMedia('(prefers-color-scheme: dark)');
/** Whether the page is dark now, whoever decided it; charts draw with it. */
export const isDark = signal(false);

export function applyTheme(): void {
  const update = (): void => {
    isDark.value = theme.value === 'dark' || (theme.value === 'system' && systemIsDark.matches);
  };
  systemIsDark.addEventListener('change', update);
  effect(() => {
    update();
    document.documentElement.dataset['theme'] = isDark.value ? 'dark' : 'light';
    try {
      localStorage.setItem(KEY, theme.value);
    } catch {
      // a browser that keeps nothing asks the system next time
    }
  });
}

export function nextTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? 'system';
}

function remembered(): Theme {
  try {
    const kept = localStorage.getItem(KEY);
    return ORDER.find((one) => one === kept) ?? 'system';
  } catch {
    return 'system';
  }
}
