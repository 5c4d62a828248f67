"""Trains a little with one library under MLflow's autolog and reads back what was logged.

Usage: aml mlflow -- python autolog.py sklearn|lightgbm|xgboost|keras|lightning
or, in a run: aml run submit --code . --env FILE -- python autolog.py LIBRARY

Works with MLflow's clients from 2.0 on; the library has to be installed beside the client.
"""

import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import mlflow
from mlflow import MlflowClient
from sklearn.datasets import load_iris

features, labels = load_iris(return_X_y=True)
features = features.astype("float32")


def sklearn():
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog()
    with mlflow.start_run() as run:
        LogisticRegression(max_iter=300).fit(features, labels)
    return run, "training_score", mlflow.sklearn


def lightgbm():
    import lightgbm

    mlflow.lightgbm.autolog()
    params = {"objective": "multiclass", "num_class": 3, "verbose": -1}
    data = lightgbm.Dataset(features, labels)
    with mlflow.start_run() as run:
        lightgbm.train(params, data, 10, valid_sets=[data], valid_names=["train"])
    return run, "train-multi_logloss", mlflow.lightgbm


def xgboost():
    import xgboost

    mlflow.xgboost.autolog()
    data = xgboost.DMatrix(features, labels)
    params = {"objective": "multi:softprob", "num_class": 3}
    with mlflow.start_run() as run:
        xgboost.train(params, data, 10, evals=[(data, "train")], verbose_eval=False)
    return run, "train-mlogloss", mlflow.xgboost


def keras():
    from tensorflow import keras

    mlflow.tensorflow.autolog()
    layers = [keras.layers.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    with mlflow.start_run() as run:
        model.fit(features, labels, epochs=3, verbose=0)
    return run, "loss", mlflow.tensorflow


def lightning():
    import torch

    try:
        import lightning.pytorch as pl
    except ImportError:
        import pytorch_lightning as pl

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)

        def forward(self, rows):
            return self.layer(rows)

        def training_step(self, batch, _):
            loss = torch.nn.functional.cross_entropy(self(batch[0]), batch[1])
            self.log("loss", loss, on_epoch=True, on_step=False)
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 0.01)

    mlflow.pytorch.autolog()
    data = torch.utils.data.TensorDataset(torch.tensor(features), torch.tensor(labels))
    trainer = pl.Trainer(max_epochs=3, accelerator="cpu", enable_progress_bar=False, logger=False)
    with mlflow.start_run() as run:
        trainer.fit(Net(), torch.utils.data.DataLoader(data, 32))
    return run, "loss", mlflow.pytorch


libraries = {call.__name__: call for call in (sklearn, lightgbm, xgboost, keras, lightning)}
if len(sys.argv) != 2 or sys.argv[1] not in libraries:
    sys.exit(f"Which library? {', '.join(libraries)}")
# A run of a workspace is in an experiment already, from which MLflow cannot take it, and ends later.
in_run = "MLFLOW_RUN_ID" in os.environ
if not in_run:
    mlflow.set_experiment(f"autolog-{sys.argv[1]}")
run, metric, flavor = libraries[sys.argv[1]]()
client = MlflowClient()
logged = client.get_run(run.info.run_id)
assert logged.info.status == ("RUNNING" if in_run else "FINISHED"), logged.info
history = client.get_metric_history(run.info.run_id, metric)
assert history, logged.data.metrics
model = flavor.load_model(f"runs:/{run.info.run_id}/model")
print(f"{len(logged.data.params)} params, {len(history)} points of {metric}, a {type(model).__name__} that loads")
