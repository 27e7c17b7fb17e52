import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { initPackage, type TemplateLanguage } from '../../src/packages/template.ts';

const folders: string[] = [];

afterEach(async () => {
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
});

async function packagesFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ms-init-'));
  folders.push(folder);
  return join(folder, 'algopkg');
}

describe('initPackage', () => {
  it.each<[TemplateLanguage, string, readonly string[]]>([
    ['python', 'algo_backend', ['__init__.py', 'backend.py']],
    ['typescript', 'AlgoBackend', ['backend.ts', 'package.json']],
  ])('writes the %s template with the name of the package', async (language, className, names) => {
    const packagesDir = await packagesFolder();
    const { files, section } = await initPackage({ name: 'FaceDetection', language, packagesDir });
    expect(files).toEqual(names.map((name) => join(packagesDir, 'FaceDetection', name)));
    expect(await readdir(packagesDir)).toEqual(['FaceDetection']);
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
    expect(texts.join('')).not.toContain('PACKAGE_NAME');
    expect(texts.join('')).toContain('modelserve check FaceDetection');
    expect(texts.join('')).toMatch(new RegExp(`class ${className}\\b`));
    expect(section).toContain(`[algopkg.FaceDetection]\nbackend = ${className}\n`);
    expect(section).toContain('route = facedetection\n');
  });

  it('gives npm a name it takes', async () => {
    const packagesDir = await packagesFolder();
    await initPackage({ name: 'FaceDetection', language: 'typescript', packagesDir });
    const manifest = JSON.parse(await readFile(join(packagesDir, 'FaceDetection/package.json'), 'utf8'));
    expect(manifest).toMatchObject({ name: 'facedetection', private: true, type: 'module' });
  });

  it.each(['', '1st', 'face-detection', 'a.b', '../up', 'a b', 'class', 'None', 'x'.repeat(65), 'Zug\u00e4'])(
    'refuses the name %j',
    async (name) => {
      const packagesDir = await packagesFolder();
      await expect(initPackage({ name, language: 'python', packagesDir })).rejects.toMatchObject({
        code: 'PACKAGE_NAME_INVALID',
      });
      await expect(readdir(packagesDir)).rejects.toThrow();
    },
  );

  it('overwrites nothing and leaves nothing behind', async () => {
    const packagesDir = await packagesFolder();
    const mine = join(packagesDir, 'Mine');
    await mkdir(mine, { recursive: true });
    await writeFile(join(mine, 'backend.py'), 'my work');
    await writeFile(join(packagesDir, 'AFile'), 'my work');
    for (const name of ['Mine', 'AFile']) {
      const init = initPackage({ name, language: 'python', packagesDir });
      await expect(init, name).rejects.toMatchObject({ code: 'PACKAGE_EXISTS' });
    }
    expect((await readdir(packagesDir)).sort()).toEqual(['AFile', 'Mine']);
    expect(await readFile(join(mine, 'backend.py'), 'utf8')).toBe('my work');
  });
});
