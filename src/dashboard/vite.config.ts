import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

// `npm run build` makes dist/dashboard of this folder. The editor of conf.ini is a chunk of its own, loaded on its page.
export default defineConfig({
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: fileURLToPath(new URL('../../dist/dashboard', import.meta.url)),
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
});
