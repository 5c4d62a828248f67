"""What a training script does with MLflow's client, checked from inside the run.

Runs with the oldest and a late client of 2.x and with one of 3.x. Prints one line per part; anything wrong raises.
"""

import math
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
MODERN = VERSION >= (3, 0)
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
    # Old clients check lengths by themselves.
    length = 7000 if VERSION >= (2, 10) else 400
    mlflow.log_params({"depth": 3, "empty": "", "long": "x" * length})
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
    assert len(run.data.params["long"]) == length
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
    refused(lambda: client.log_metric(RUN, "a//b", 1), "ames may be treated as files")
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
    if VERSION >= (2, 4):
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
    if VERSION >= (2, 4):
        assert names(filter_string="dataset.context = 'train'") == ["child"]
    assert names(order_by=["metrics.training_score DESC"], max_results=1) == ["child"]
    assert len(mlflow.search_runs(filter_string="status = 'RUNNING'")) == 1
    refused(lambda: names(filter_string="metrics.loss == 1"), "INVALID_PARAMETER_VALUE", "==")
    print("search")


def registry():
    name = "registered"
    for number in ("1", "2"):
        version = mlflow.register_model(f"runs:/{RUN}/model", name)
        assert str(version.version) == number and version.run_id == RUN, version
    client.update_registered_model(name, "Flowers")
    client.set_registered_model_tag(name, "team", "blue")
    client.update_model_version(name, "1", "The first")
    client.set_model_version_tag(name, "1", "checked", "yes")
    client.transition_model_version_stage(name, "1", "Staging")
    client.transition_model_version_stage(name, "2", "Production")
    found = client.get_model_version(name, "1")
    assert (found.description, found.tags, found.current_stage) == ("The first", {"checked": "yes"}, "Staging")
    latest = client.get_latest_versions(name, ["Production"])
    assert [str(version.version) for version in latest] == ["2"], latest
    client.transition_model_version_stage(name, "1", "Production", archive_existing_versions=True)
    assert client.get_model_version(name, "2").current_stage == "Archived"
    uris = [f"models:/{name}/1", f"models:/{name}/Production", f"models:/{name}/latest"]
    if VERSION >= (2, 3):
        client.set_registered_model_alias(name, "champion", "2")
        assert str(client.get_model_version_by_alias(name, "champion").version) == "2"
        uris.append(f"models:/{name}@champion")
    expected = mlflow.sklearn.load_model(f"runs:/{RUN}/model").predict(features)
    for uri in uris:
        assert (mlflow.pyfunc.load_model(uri).predict(features) == expected).all(), uri
    if VERSION >= (2, 3):
        client.delete_registered_model_alias(name, "champion")
        refused(lambda: client.get_model_version_by_alias(name, "champion"), "champion")
    found = client.search_model_versions(f"run_id = '{RUN}'")
    assert sorted(str(version.version) for version in found) == ["1", "2"], found
    found = client.search_registered_models(filter_string="name LIKE 'regis%'")
    assert [(model.name, model.description, model.tags) for model in found] == [
        (name, "Flowers", {"team": "blue"})
    ], found
    refused(lambda: client.delete_registered_model(name), "PERMISSION_DENIED")
    print("registry")


def serving():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/registered/1"]
    command += ["--env-manager", "local", "--port", str(port)]
    server = subprocess.Popen(command, env={**os.environ, "MLFLOW_RUN_ID": ""})
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, "the model is not served"
                time.sleep(0.2)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": features[:3].tolist()}).encode(),
            {"Content-Type": "application/json"},
        )
        answer = json.load(urllib.request.urlopen(request, timeout=30))
        predictions = answer["predictions"] if VERSION >= (2, 0) else answer
        assert predictions == labels[:3].tolist(), answer
    finally:
        server.terminate()
        server.wait()
    print("serving")


def prompts():
    name = "greeting"
    for text in ("Hello {{who}}", "Good morning {{who}}"):
        made = mlflow.genai.register_prompt(name=name, template=text, commit_message="a change", tags={"t": "v"})
    assert int(made.version) == 2, made
    mlflow.genai.set_prompt_alias(name, alias="live", version=1)
    assert mlflow.genai.load_prompt(f"prompts:/{name}@live").format(who="Ann") == "Hello Ann"
    second = mlflow.genai.load_prompt(f"prompts:/{name}/2")
    assert (second.template, second.tags["t"]) == ("Good morning {{who}}", "v"), second
    assert [prompt.name for prompt in mlflow.genai.search_prompts()] == [name]
    # Prompts are not models.
    assert [model.name for model in client.search_registered_models()] == ["registered"]
    print("prompts")


def traces():
    @mlflow.trace(span_type="TOOL", attributes={"unit": "cm"})
    def double(number):
        return number * 2

    @mlflow.trace
    def ask(number):
        return {"answer": double(number)}

    @mlflow.trace
    def fail():
        raise ValueError("boom")

    experiment = client.get_run(RUN).info.experiment_id
    assert ask(21) == {"answer": 42}
    try:
        fail()
    except ValueError:
        pass
    if MODERN:
        mlflow.flush_trace_async_logging()
    found = client.search_traces([experiment])
    assert sorted(len(trace.data.spans) for trace in found) == [1, 2], found
    trace = next(trace for trace in found if len(trace.data.spans) == 2)
    root, tool = trace.data.spans
    assert (root.name, root.inputs, root.outputs) == ("ask", {"number": 21}, {"answer": 42}), root
    assert (tool.name, tool.span_type, tool.parent_id) == ("double", "TOOL", root.span_id), tool
    assert tool.get_attribute("unit") == "cm"
    failed = client.search_traces([experiment], filter_string="status = 'ERROR'")
    assert [trace.data.spans[0].name for trace in failed] == ["fail"], failed
    assert "boom" in str(failed[0].data.spans[0].events), failed
    identity = trace.info.trace_id if MODERN else trace.info.request_id
    client.set_trace_tag(identity, "team", "blue")
    found = client.search_traces([experiment], filter_string="tags.team = 'blue'")
    assert [trace.info.tags["team"] for trace in found] == ["blue"], found
    if MODERN:
        mlflow.log_feedback(trace_id=identity, name="right", value=True, rationale="It is")
        mlflow.log_expectation(trace_id=identity, name="wanted", value={"answer": 42})
        said = {one.name: one.value for one in mlflow.get_trace(identity).info.assessments}
        assert said == {"right": True, "wanted": {"answer": 42}}, said
        for condition in ("feedback.right = 'true'", "span.type = 'TOOL'", f"run_id = '{RUN}'"):
            found = client.search_traces([experiment], filter_string=condition)
            assert identity in [trace.info.trace_id for trace in found], condition
    print("traces")


with mlflow.start_run() as active:
    assert active.info.run_id == RUN, active.info
    values()
    files()
    models()
    nested_and_autolog()
    search()
    registry()
    serving()
    if VERSION >= (2, 14):
        traces()
    if MODERN:
        prompts()
with mlflow.start_run(run_name="second") as second:
    mlflow.log_metric("again", 1)
assert client.get_run(second.info.run_id).data.tags["mlflow.parentRunId"] == RUN
refused(lambda: client.log_metric(os.environ["OTHER_RUN"], "x", 1), "PERMISSION_DENIED")
mlflow.set_experiment("another")
assert client.get_experiment("0").name == "Default"
print("all done")
