import { describe, expect, it } from 'vitest';
import { compiled, mistakesOf, PACKAGES } from './project-fixture.ts';

const ECHO = '[algopkg.Echo]\nbackend = EchoBackend\n';

describe('environments', () => {
  const IRIS = '[algopkg.Iris]\nbackend = IrisBackend\n';
  const WITH_CONDA = { ...PACKAGES, 'algopkg/Echo/environment.yml': 'dependencies: [python]\n' };
  const table: readonly [text: string, message: string, files?: Readonly<Record<string, string>>][] = [
    [
      `${ECHO}environment = docker`,
      'environment: expected venv, conda, conda:NAME, system, python:/PATH or npm, found "docker"',
    ],
    [
      `${ECHO}environment = npm`,
      'environment: expected an environment for Python, found "npm"; the backend is written in Python',
    ],
    [
      `${ECHO}environment = conda`,
      'environment: expected a file environment.yml for environment = conda, found "conda"; write algopkg/Echo/environment.yml; an environment that is there already is conda:NAME',
    ],
    [
      `${ECHO}environment = conda:x\npython = 3.9`,
      'python: expected no such line beside environment = conda:x, found "3.9"; it has an interpreter of its own: take one of the two lines out',
    ],
    [
      `${ECHO}python = 3.9`,
      'python: expected no such line beside algopkg/Echo/environment.yml, found "3.9"; name the version there, or set environment = venv',
      WITH_CONDA,
    ],
    [
      `${ECHO}wheels = ../wheels`,
      'wheels: expected a folder inside the package, such as wheels, or an absolute path, found "../wheels"',
    ],
    [
      `${ECHO}wheels = ./wheels`,
      'wheels: expected a folder in algopkg/Echo, found "./wheels"; it should be algopkg/Echo/wheels',
    ],
    [
      `${ECHO}wheels = /opt/wheels\nenvironment = system`,
      'wheels: expected no such line unless the backend runs in a virtual environment, found "/opt/wheels"; wheels are for environment = venv',
    ],
  ];

  it.each(table)('%s', async (text, message, files) => {
    const line = text.split('\n').findIndex((one) => one.startsWith(message.split(':')[0] ?? '')) + 1;
    expect(await mistakesOf(text, files)).toEqual([`conf.ini:${line} [algopkg.Echo] ${message}`]);
  });

  it('belong to a language', async () => {
    expect(await mistakesOf(`${IRIS}environment = venv`)).toEqual([
      'conf.ini:3 [algopkg.Iris] environment: expected npm, or no such line, found "venv"; the backend is written in JavaScript',
    ]);
  });

  it('are taken as they are written', async () => {
    const files = { ...WITH_CONDA, 'algopkg/Echo/wheels/x.whl': '' };
    const { deployments } = await compiled(
      `${ECHO}environment = venv\npython = 3.9\nwheels = ./wheels/`,
      files,
    );
    expect(deployments).toMatchObject([{ environment: 'venv', python: '3.9', wheels: 'wheels' }]);
  });
});
