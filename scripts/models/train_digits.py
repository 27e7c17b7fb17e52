"""Trains Model_ZOO/digits_v1.npz on scikit-learn's handwritten digits, and writes the images its tests hold it to.

    python3 -m venv /tmp/train && /tmp/train/bin/pip install -r scripts/models/requirements.txt
    /tmp/train/bin/python scripts/models/train_digits.py

A fifth of the images is held out; 200 of those become the fixture. The data set (UCI, CC BY 4.0; in scikit-learn, BSD)
has 1,797 images of 8 by 8 pixels from 0 to 16.
"""
import json
import os

import numpy
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "Model_ZOO", "digits_v1.npz")
HELD_OUT = os.path.join(ROOT, "test", "algopkg", "data", "digits_heldout.json")
SEED = 20
FIXTURE_ROWS = 200


def main():
    images, digits = load_digits(return_X_y=True)
    train_images, test_images, train_digits, test_digits = train_test_split(
        images, digits, test_size=0.2, random_state=SEED, stratify=digits)
    network = MLPClassifier(hidden_layer_sizes=(48,), alpha=0.01, max_iter=2000, random_state=SEED)
    network.fit(train_images / 16, train_digits)
    (hidden, output), (hidden_bias, output_bias) = network.coefs_, network.intercepts_
    layers = {"hidden": hidden, "hidden_bias": hidden_bias, "output": output, "output_bias": output_bias}
    numpy.savez(MODEL, **{name: layer.astype("float32") for name, layer in layers.items()})
    rows = [{"pixels": [int(pixel) for pixel in image], "digit": int(digit)}
            for image, digit in zip(test_images[:FIXTURE_ROWS], test_digits)]
    with open(HELD_OUT, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print("{:.1%} of {} held-out images read right".format(
        network.score(test_images / 16, test_digits), len(test_digits)))


if __name__ == "__main__":
    main()
