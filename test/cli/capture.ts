import { onTestFinished, vi } from 'vitest';

/** What commands print during the running test. */
export function captureOutput(): { readonly stdout: () => string; readonly stderr: () => string } {
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    const spy = vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
      texts[name] += String(chunk);
      return true;
    });
    onTestFinished(() => spy.mockRestore());
  }
  return { stdout: () => texts.stdout, stderr: () => texts.stderr };
}
