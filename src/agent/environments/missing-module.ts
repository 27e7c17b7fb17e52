import type { Language } from '../../cluster/spec/types.ts';

/** Modules whose package has another name, as far as people commonly meet them. */
const PYTHON_PACKAGES: Readonly<Record<string, string>> = {
  attr: 'attrs',
  bs4: 'beautifulsoup4',
  Crypto: 'pycryptodome',
  cv2: 'opencv-python-headless',
  dateutil: 'python-dateutil',
  dotenv: 'python-dotenv',
  faiss: 'faiss-cpu',
  fitz: 'PyMuPDF',
  git: 'GitPython',
  google: 'protobuf',
  grpc: 'grpcio',
  jwt: 'PyJWT',
  magic: 'python-magic',
  MySQLdb: 'mysqlclient',
  OpenSSL: 'pyOpenSSL',
  PIL: 'Pillow',
  pkg_resources: 'setuptools',
  psycopg2: 'psycopg2-binary',
  serial: 'pyserial',
  skimage: 'scikit-image',
  sklearn: 'scikit-learn',
  usb: 'pyusb',
  yaml: 'PyYAML',
  zmq: 'pyzmq',
};

/** What to write where, when an import found no module of that name: one sentence. */
export function missingModuleRemedy(module: string, packageName: string, language: Language): string {
  if (language === 'python') {
    const top = module.split('.')[0] ?? module;
    return `add "${PYTHON_PACKAGES[top] ?? top}" to algopkg/${packageName}/requirements.txt`;
  }
  if (module.startsWith('.') || module.startsWith('/')) {
    return `there is no such file in algopkg/${packageName}; correct the import`;
  }
  const segments = module.split('/').slice(0, module.startsWith('@') ? 2 : 1);
  return `add "${segments.join('/')}" to the dependencies in algopkg/${packageName}/package.json`;
}
