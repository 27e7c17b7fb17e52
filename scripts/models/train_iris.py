"""Trains Model_ZOO/iris_v1.json on the iris measurements in scikit-learn, and writes the flowers its tests hold it to.

    python3 -m venv /tmp/train && /tmp/train/bin/pip install -r scripts/models/requirements.txt
    /tmp/train/bin/python scripts/models/train_iris.py

A third of the 150 flowers is held out. The data set is Fisher's of 1936 (UCI, CC BY 4.0; in scikit-learn, BSD).
"""
import json
import os

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "Model_ZOO", "iris_v1.json")
HELD_OUT = os.path.join(ROOT, "test", "algopkg", "data", "iris_heldout.json")
SEED = 20
FEATURES = ["sepalLength", "sepalWidth", "petalLength", "petalWidth"]


def main():
    iris = load_iris()
    species = [str(name) for name in iris.target_names]
    train_rows, test_rows, train_kinds, test_kinds = train_test_split(
        iris.data, iris.target, test_size=1 / 3, random_state=SEED, stratify=iris.target)
    scaler = StandardScaler().fit(train_rows)
    classifier = LogisticRegression(random_state=SEED).fit(scaler.transform(train_rows), train_kinds)
    model = {
        "species": species,
        "features": FEATURES,
        "mean": scaler.mean_.round(6).tolist(),
        "deviation": scaler.scale_.round(6).tolist(),
        "weights": classifier.coef_.round(6).tolist(),
        "bias": classifier.intercept_.round(6).tolist(),
    }
    with open(MODEL, "w", encoding="utf-8") as file:
        json.dump(model, file, indent=1)
        file.write("\n")
    rows = [dict(zip(FEATURES, map(float, row)), species=species[kind]) for row, kind in zip(test_rows, test_kinds)]
    with open(HELD_OUT, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print("{:.1%} of {} held-out flowers named right".format(
        classifier.score(scaler.transform(test_rows), test_kinds), len(test_kinds)))


if __name__ == "__main__":
    main()
