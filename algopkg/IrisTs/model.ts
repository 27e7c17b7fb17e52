import { Matrix } from 'ml-matrix';
import { z } from 'zod';

const row = z.array(z.number());

/** What scripts/models/train_iris.py writes: the scale of each measurement, and the weights of each species. */
const ModelFile = z.object({
  species: z.array(z.string()),
  features: z.array(z.string()),
  mean: row,
  deviation: row,
  weights: z.array(row),
  bias: row,
});

export interface Prediction {
  readonly species: string;
  readonly probability: number;
}

/** Multinomial logistic regression on scaled measurements. */
export class IrisModel {
  readonly species: readonly string[];
  readonly #mean: Matrix;
  readonly #deviation: Matrix;
  readonly #weights: Matrix;
  readonly #bias: Matrix;

  constructor(text: string) {
    const file = ModelFile.parse(JSON.parse(text));
    this.species = file.species;
    this.#mean = Matrix.rowVector(file.mean);
    this.#deviation = Matrix.rowVector(file.deviation);
    this.#weights = new Matrix(file.weights).transpose();
    this.#bias = Matrix.rowVector(file.bias);
  }

  /** The likeliest species of each flower; a flower is its measurements in centimetres. */
  predict(flowers: readonly (readonly number[])[]): readonly Prediction[] {
    const measured = new Matrix(flowers.map((flower) => [...flower]));
    const scaled = measured.subRowVector(this.#mean).divRowVector(this.#deviation);
    const scores = scaled.mmul(this.#weights).addRowVector(this.#bias);
    return scores.to2DArray().map((rowOfScores) => this.#likeliest(rowOfScores));
  }

  #likeliest(scores: readonly number[]): Prediction {
    const highest = Math.max(...scores);
    const sum = scores.reduce((total, score) => total + Math.exp(score - highest), 0);
    const species = this.species[scores.indexOf(highest)] ?? '';
    return { species, probability: Math.round(10_000 / sum) / 10_000 };
  }
}
