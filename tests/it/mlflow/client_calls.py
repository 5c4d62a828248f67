"""What a training script does with MLflow's client, checked from inside the run.

Runs with a 2.x and a 3.x client. Prints one line per part; anything wrong raises.
"""

import math
import os
import pathlib
import tempfile

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

MODERN = int(mlflow.__version__.split(".")[0]) >= 3
RUN = os.environ["MLFLOW_RUN_ID"]
client = MlflowClient()
features, labels = load_iris(return_X_y=True)


def model_name(name):
    return {"name": name} if MODERN else {"artifact_path": name}


def refused(call, *words):
    try:
        call()
    except MlflowException as error:
        for word in words:
            assert word in str(error), error
    else:
        raise AssertionError(f"{words} was not refused")


def values():
    mlflow.log_param("lr", 0.1)
    mlflow.log_params({"depth": 3, "empty": "", "long": "x" * 7000})
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("loss", 7.0, step=2)
    mlflow.log_metrics({"nan": math.nan, "infinite": math.inf, "accuracy": 0.9})
    mlflow.set_tag("team", "blue")
    mlflow.set_tags({"gone": "soon", "number": 1})
    client.delete_tag(RUN, "gone")
    run = client.get_run(RUN)
    assert run.info.run_id == RUN and run.info.status == "RUNNING", run.info
    assert run.data.params["lr"] == "0.1" and run.data.params["empty"] == ""
    assert len(run.data.params["long"]) == 7000
    assert run.data.metrics["loss"] == 0.2 and run.data.metrics["infinite"] == math.inf
    assert math.isnan(run.data.metrics["nan"])
    assert run.data.tags["team"] == "blue" and "gone" not in run.data.tags
    history = client.get_metric_history(RUN, "loss")
    assert sorted((point.step, point.value) for point in history if point.step in (2, 4)) == [
        (2, 1 / 3),
        (2, 7.0),
        (4, 0.2),
    ]
    refused(lambda: client.log_param(RUN, "lr", 7), "Changing param values is not allowed")
    refused(lambda: client.log_metric(RUN, "a//b", 1), "Names may be treated as files")
    refused(lambda: client.get_run("no-such-run"), "RESOURCE_DOES_NOT_EXIST")
    print("values")


def files():
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "sub").mkdir()
    (folder / "large.bin").write_bytes(os.urandom(1 << 20))
    (folder / "sub" / "ü y.txt").write_text("deep")
    (folder / "empty").touch()
    mlflow.log_artifacts(folder, "folder")
    mlflow.log_artifact(folder / "large.bin")
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_dict({"k": [1]}, "d.json")
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    mlflow.log_figure(figure, "figure.png")
    listed = {item.path: item.file_size for item in client.list_artifacts(RUN, "folder")}
    assert listed == {"folder/empty": 0, "folder/large.bin": 1 << 20, "folder/sub": None}, listed
    assert client.list_artifacts(RUN, "nothing") == []
    got = pathlib.Path(mlflow.artifacts.download_artifacts(run_id=RUN, artifact_path="folder"))
    assert (got / "large.bin").read_bytes() == (folder / "large.bin").read_bytes()
    assert (got / "sub" / "ü y.txt").read_text() == "deep" and (got / "empty").exists()
    assert mlflow.artifacts.load_text(f"runs:/{RUN}/notes/a.txt") == "hello"
    assert mlflow.artifacts.load_dict(f"runs:/{RUN}/d.json") == {"k": [1]}
    print("files")


def models():
    class Length(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [len(model_input)]

    model = LogisticRegression(max_iter=300).fit(features, labels)
    info = mlflow.sklearn.log_model(model, input_example=features[:2], **model_name("model"))
    for uri in (info.model_uri, f"runs:/{RUN}/model"):
        assert (mlflow.sklearn.load_model(uri).predict(features) == model.predict(features)).all()
    mlflow.pyfunc.log_model(python_model=Length(), **model_name("length"))
    assert mlflow.pyfunc.load_model(f"runs:/{RUN}/length").predict([1, 2, 3]) == [3]
    if MODERN:
        experiment = client.get_run(RUN).info.experiment_id
        found = mlflow.search_logged_models(
            experiment_ids=[experiment],
            filter_string=f"source_run_id = '{RUN}' AND name LIKE 'le%'",
            output_format="list",
        )
        assert [model.name for model in found] == ["length"], found
        assert len(client.get_run(RUN).outputs.model_outputs) == 2
    print("models")


def nested_and_autolog():
    mlflow.sklearn.autolog()
    with mlflow.start_run(nested=True, run_name="child") as child:
        LogisticRegression(C=0.5, max_iter=300).fit(features, labels)
    mlflow.sklearn.autolog(disable=True)
    logged = client.get_run(child.info.run_id)
    assert logged.data.params["C"] == "0.5" and logged.data.metrics["training_score"] > 0.9
    assert logged.data.tags["mlflow.parentRunId"] == RUN and logged.info.status == "FINISHED"
    assert logged.inputs.dataset_inputs[0].tags[0].value == "train"
    assert mlflow.sklearn.load_model(f"runs:/{child.info.run_id}/model").C == 0.5
    print("nested and autolog")


def search():
    def names(**query):
        return [run.info.run_name for run in mlflow.search_runs(output_format="list", **query)]

    assert names(filter_string="metrics.accuracy > 0.8 AND params.lr = '0.1'") != []
    assert names(filter_string="params.C = '0.5' and metrics.training_score > 0.5") == ["child"]
    assert names(filter_string="NOT (params.C = '0.5' OR tags.team = 'blue')") == []
    assert names(filter_string="tags.`mlflow.parentRunId` IS NOT NULL") == ["child"]
    assert names(filter_string="run_name ILIKE 'CHI%'") == ["child"]
    assert names(filter_string="dataset.context = 'train'") == ["child"]
    assert names(order_by=["metrics.training_score DESC"], max_results=1) == ["child"]
    assert len(mlflow.search_runs(filter_string="status = 'RUNNING'")) == 1
    refused(lambda: names(filter_string="metrics.loss == 1"), "INVALID_PARAMETER_VALUE", "==")
    print("search")


with mlflow.start_run() as active:
    assert active.info.run_id == RUN, active.info
    values()
    files()
    models()
    nested_and_autolog()
    search()
with mlflow.start_run(run_name="second") as second:
    mlflow.log_metric("again", 1)
assert client.get_run(second.info.run_id).data.tags["mlflow.parentRunId"] == RUN
refused(lambda: client.log_metric(os.environ["OTHER_RUN"], "x", 1), "PERMISSION_DENIED")
mlflow.set_experiment("another")
assert client.get_experiment("0").name == "Default"
print("all done")
