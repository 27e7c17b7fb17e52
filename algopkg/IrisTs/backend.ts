import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { IrisModel } from './model.ts';

// Query parameters come as text: `?sepalLength=5.1&sepalWidth=3.5&petalLength=1.4&petalWidth=0.2` means the numbers.
const centimetres = z.coerce.number().positive().max(30);
const Flower = z.object({
  sepalLength: centimetres,
  sepalWidth: centimetres,
  petalLength: centimetres,
  petalWidth: centimetres,
});
const FlowerList = z.object({ flowers: z.array(Flower).min(1).max(1_000) });

/** Names the species of an iris from its measurements, of one flower or of a list (`{"flowers": [...]}`). */
export class IrisBackend {
  readonly #modelPaths: readonly string[];
  #model: IrisModel | null = null;

  /** @param modelPath `folder,model1,model2`, from the key `model` in conf.ini */
  constructor(modelPath: string) {
    const [folder = '', ...names] = modelPath.split(',').map((part) => part.trim());
    this.#modelPaths = names.map((name) => join(folder, name));
  }

  async init(): Promise<void> {
    const [path, ...others] = this.#modelPaths;
    if (path === undefined || others.length > 0) {
      throw new Error(`expected one model, such as "model = iris_v1.json", found ${this.#modelPaths.length}`);
    }
    this.#model = new IrisModel(await readFile(path, 'utf8'));
  }

  async call(request: { json(): Promise<unknown> }): Promise<unknown> {
    const info = `Result from ${hostname()}`;
    try {
      return { status: 1, result: this.#answer(await request.json()), info };
    } catch (error) {
      if (!(error instanceof z.ZodError)) throw error;
      return { status: 0, info: `${info}: ${z.prettifyError(error)}` };
    }
  }

  #answer(question: unknown): unknown {
    const isList = typeof question === 'object' && question !== null && 'flowers' in question;
    const flowers = isList ? FlowerList.parse(question).flowers : [Flower.parse(question)];
    if (this.#model === null) throw new Error('init() has not been called');
    const predictions = this.#model.predict(
      flowers.map((flower) => [flower.sepalLength, flower.sepalWidth, flower.petalLength, flower.petalWidth]),
    );
    return isList ? predictions : predictions[0];
  }
}
