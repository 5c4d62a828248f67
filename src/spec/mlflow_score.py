"""Scores with a model in MLflow format; the input is what Azure's deployments without code take.

{"input_data": ...}, {"data": ...} or {"dataframe_split": ...}: a table as
{"columns": [...], "data": [[...]]}, rows as [[...]] or [{...}], or named tensors as {"name": [...]}.
"""

import base64
import json
import os

import mlflow.pyfunc
import numpy
import pandas
from azureml_inference_server_http.api.aml_response import AMLResponse
from mlflow.exceptions import MlflowException
from mlflow.types import DataType

NAMES = ("input_data", "data", "dataframe_split", "dataframe_records", "instances", "inputs")

model = None


def init():
    global model
    root = os.environ["AZUREML_MODEL_DIR"]
    folders = [folder for folder, _, files in os.walk(root) if "MLmodel" in files]
    if not folders:
        raise FileNotFoundError("The model has no file `MLmodel`")
    model = mlflow.pyfunc.load_model(min(folders, key=len))


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


def refused(message):
    return AMLResponse({"message": message}, 400, json_str=True)


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
