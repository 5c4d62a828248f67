"""Answers scoring requests: {"data": [[sepal length, sepal width, petal length, petal width], ...]}."""

import json
import os
import pathlib

import joblib
import numpy as np

SPECIES = ["setosa", "versicolor", "virginica"]


def init():
    """Loads the model once, when the endpoint starts."""
    global model
    path = next(pathlib.Path(os.environ["AZUREML_MODEL_DIR"]).rglob("model.joblib"))
    model = joblib.load(path)


def run(raw_data):
    """Names the species of each row."""
    rows = np.array(json.loads(raw_data)["data"], dtype=float)
    return {"species": [SPECIES[i] for i in model.predict(rows)]}
