"""Scores with a model in MLflow format; the input is what Azure's deployments without code take.

{"input_data": ...}, {"data": ...} or {"dataframe_split": ...}: a table as
{"columns": [...], "data": [[...]]}, rows as [[...]] or [{...}], or named tensors as {"name": [...]}.
"""

import base64
import json
import os
import platform
import re
import traceback
import warnings
from importlib import metadata

import mlflow.pyfunc
import numpy
import pandas
import yaml
from azureml_inference_server_http.api.aml_response import AMLResponse
from mlflow.exceptions import MlflowException
from mlflow.types import DataType

NAMES = ("input_data", "data", "dataframe_split", "dataframe_records", "instances", "inputs")

# What an `MLmodel` calls the version of a package by.
FRAMEWORKS = {
    "sklearn_version": "scikit-learn",
    "xgb_version": "xgboost",
    "lgb_version": "lightgbm",
    "cb_version": "catboost",
    "catboost_version": "catboost",
    "pytorch_version": "torch",
    "keras_version": "keras",
    "tensorflow_version": "tensorflow",
    "statsmodels_version": "statsmodels",
    "spacy_version": "spacy",
    "prophet_version": "prophet",
    "transformers_version": "transformers",
}

# So many packages are told of.
MOST = 5

model = None
# Why it may not work here, if something speaks for that.
doubt = None


def init():
    global model, doubt
    root = os.environ["AZUREML_MODEL_DIR"]
    folders = [folder for folder, _, files in os.walk(root) if "MLmodel" in files]
    if not folders:
        raise FileNotFoundError("The model has no file `MLmodel`")
    folder = min(folders, key=len)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            model = mlflow.pyfunc.load_model(folder)
        except Exception as error:
            doubt = doubted(folder, warned)
            if doubt is None:
                raise
            traceback.print_exc()
            raise RuntimeError(f"The model does not load: {one_line(error)}. {doubt}") from None
    for one in warned:
        warnings.showwarning(one.message, one.category, one.filename, one.lineno)
    doubt = doubted(folder, warned)


def doubted(folder, warned):
    """What the model was saved with and is another one here, in a sentence; None when there is nothing."""
    saved = saved_with(folder)
    for one in warned:
        # What was pickled says it itself.
        if hasattr(one.message, "original_sklearn_version"):
            saved["scikit-learn"] = str(one.message.original_sklearn_version)
    here = {name: version_here(name) for name in saved}
    others = [name for name, version in saved.items() if version != here[name]][:MOST]
    if not others:
        return None
    said = ", ".join(f"{name} {saved[name]} (here: {here[name]})" for name in others)
    pins = ", ".join(f"{name}{'=' if name == 'python' else '=='}{saved[name]}" for name in others)
    return (
        f"It was saved with {said}. If that is why, write {pins} into its conda.yaml or requirements.txt "
        "and register it again, or deploy it with an environment that has this"
    )


def saved_with(folder):
    """Names of packages, and of Python, with the versions that the model's files say it was saved with."""
    saved = {}
    with open(os.path.join(folder, "MLmodel"), encoding="utf-8") as file:
        flavors = (yaml.safe_load(file) or {}).get("flavors") or {}
    for flavor in flavors.values():
        for key, version in (flavor or {}).items():
            if key in FRAMEWORKS:
                saved[FRAMEWORKS[key]] = str(version)
            elif key == "python_version":
                saved["python"] = minor(str(version))
    listed = os.path.join(folder, "requirements.txt")
    if os.path.exists(listed):
        with open(listed, encoding="utf-8") as file:
            for line in file:
                pinned = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([A-Za-z0-9.+!]+)\s*(?:#.*)?$", line.strip())
                if pinned:
                    saved.setdefault(pinned[1], pinned[2])
    return saved


def version_here(name):
    if name == "python":
        return minor(platform.python_version())
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def minor(version):
    return ".".join(version.split(".")[:2])


def one_line(error):
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")


def run(raw_data):
    try:
        document = json.loads(raw_data)
        name = next(name for name in NAMES if name in document)
    except (ValueError, TypeError, StopIteration):
        return refused('The input is not a JSON object such as {"input_data": [[1, 2]]}')
    try:
        rows = table(document[name])
    except (ValueError, TypeError, KeyError) as error:
        return refused(f"The rows do not make a table: {error}")
    try:
        return plain(model.predict(rows, params=document.get("params")))
    except MlflowException as error:
        # The rows are not what the model's signature says.
        if error.error_code == "BAD_REQUEST" or "schema" in error.message:
            return refused(error.message)
        raise
    except Exception as error:
        if doubt is None:
            raise
        traceback.print_exc()
        return refused(f"The model does not score: {one_line(error)}. {doubt}", 500)


def refused(message, status=400):
    return AMLResponse({"message": message}, status, json_str=True)


def table(data):
    schema = model.metadata.get_input_schema() if model.metadata else None
    names = schema.input_names() if schema is not None and schema.has_input_names() else None
    if isinstance(data, dict) and "data" in data:
        frame = pandas.DataFrame(data["data"], columns=data.get("columns"), index=data.get("index"))
    elif isinstance(data, dict):
        if schema is not None and schema.is_tensor_spec():
            return {name: numpy.asarray(values) for name, values in data.items()}
        frame = pandas.DataFrame(data)
    elif data and isinstance(data[0], dict):
        frame = pandas.DataFrame(data)
    elif schema is not None and schema.is_tensor_spec():
        return numpy.asarray(data, dtype=schema.numpy_types()[0])
    elif names is None:
        return numpy.asarray(data)
    else:
        frame = pandas.DataFrame(data, columns=names)
    if names is None or not set(names) <= set(frame.columns):
        return frame
    # JSON knows one kind of number and no bytes: bring the columns to the types that the model was
    # logged with, as MLflow's own server does.
    for name, kind, is_of in zip(names, schema.pandas_types(), schema.input_types()):
        if is_of == DataType.binary:
            frame[name] = frame[name].map(base64.b64decode)
        else:
            frame[name] = frame[name].astype(kind)
    return frame[names]


def plain(answer):
    if isinstance(answer, pandas.DataFrame):
        return answer.to_dict(orient="records")
    if isinstance(answer, (pandas.Series, numpy.ndarray)):
        return answer.tolist()
    if isinstance(answer, dict):
        return {name: plain(values) for name, values in answer.items()}
    if isinstance(answer, numpy.generic):
        return answer.item()
    return answer
