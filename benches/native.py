#!/usr/bin/env python3
"""Compares what native scoring answers with what the frameworks answer, on random rows.

Usage: benches/native.py --peers DIR [--install] [--binary target/release/aml] [--rows 1000] [--seed 0]

The binary must be built with the feature `native`. Models of scikit-learn (by skl2onnx), LightGBM and
XGBoost (as they save them, and by onnxmltools) are trained, deployed with --native, and asked. Ends with
an error when an answer is further than 1e-5 from the framework's, by its size where that is above one.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("--binary", default="target/release/aml")
parser.add_argument("--peers", type=pathlib.Path, required=True, help="folder of the Python environment")
parser.add_argument("--install", action="store_true")
parser.add_argument("--rows", type=int, default=1000)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

PACKAGES = ["scikit-learn==1.7.0", "numpy<2.4", "pandas<3", "skl2onnx", "onnx", "onnxmltools", "packaging", "lightgbm", "xgboost-cpu"]
AML = str(pathlib.Path(args.binary).resolve())
ROOT = pathlib.Path(tempfile.mkdtemp(prefix="aml-native-"))
PYTHON = args.peers.resolve() / "bin" / "python"
ENV = {**os.environ, "AML_HOME": str(ROOT / "state"), "AML_CONFIG": str(ROOT / "config.toml")}
TRAIN = r"""
import json, pathlib, sys, warnings
import lightgbm, numpy, xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn import ensemble, impute, linear_model, neural_network, pipeline, preprocessing, tree
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from skl2onnx import to_onnx

warnings.filterwarnings("ignore")
count, seed = int(sys.argv[1]), int(sys.argv[2])
random = numpy.random.default_rng(seed)
data = {
    "iris": load_iris(return_X_y=True),
    "cancer": load_breast_cancer(return_X_y=True),
    "diabetes": load_diabetes(return_X_y=True),
}
data = {name: (x.astype(numpy.float32), y) for name, (x, y) in data.items()}


def rows(name):
    # Between and beyond what was seen, in singles as they are compared.
    x, _ = data[name]
    low, high = x.min(axis=0), x.max(axis=0)
    return (low + (high - low) * random.uniform(-0.1, 1.1, (count, x.shape[1]))).astype(numpy.float32)


def save(name, file, content, asked, expected):
    folder = pathlib.Path(name)
    (folder / "model").mkdir(parents=True)
    if content is not None:
        (folder / "model" / file).write_bytes(content)
    listed = [[None if value != value else float(value) for value in row] for row in asked]
    json.dump({"input_data": listed}, open(folder / "rows.json", "w"))
    json.dump({key: numpy.asarray(value).tolist() for key, value in expected.items()}, open(folder / "expected.json", "w"))


def sklearn(name, which, model):
    x, y = data[which]
    model.fit(x, y)
    asked = rows(which)
    # Rows that stand between two classes may fall to either.
    shares = hasattr(model, "predict_proba")
    # In doubles: in singles the framework itself loses digits.
    doubles = asked.astype(float)
    expected = {"probabilities": model.predict_proba(doubles)} if shares else {"": model.predict(doubles)}
    try:
        options = {id(model): {"zipmap": bool(random.integers(2))}} if shares else None
        onnx = to_onnx(model, x[:1], options=options)
    except Exception as error:
        print(f"skl2onnx cannot convert {name}: {type(error).__name__}", file=sys.stderr)
        return
    save(f"sklearn-{name}", "model.onnx", onnx.SerializeToString(), asked, expected)


for which, many in (("iris", 3), ("cancer", 2)):
    sklearn(f"forest-{which}", which, ensemble.RandomForestClassifier(30, random_state=0))
    sklearn(f"tree-{which}", which, tree.DecisionTreeClassifier(random_state=0))
    sklearn(f"boosting-{which}", which, ensemble.GradientBoostingClassifier(random_state=0))
    sklearn(f"histogram-{which}", which, ensemble.HistGradientBoostingClassifier(random_state=0))
    sklearn(f"logistic-{which}", which, pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()))
    sklearn(f"extra-{which}", which, ensemble.ExtraTreesClassifier(30, random_state=0))
sklearn("network-iris", "iris", pipeline.make_pipeline(preprocessing.StandardScaler(), neural_network.MLPClassifier((16,), max_iter=2000, random_state=0)))
sklearn("forest-diabetes", "diabetes", ensemble.RandomForestRegressor(30, random_state=0))
sklearn("boosting-diabetes", "diabetes", ensemble.GradientBoostingRegressor(random_state=0))
sklearn("histogram-diabetes", "diabetes", ensemble.HistGradientBoostingRegressor(random_state=0))
sklearn("linear-diabetes", "diabetes", pipeline.make_pipeline(preprocessing.MinMaxScaler(), linear_model.Ridge()))
sklearn("filled-diabetes", "diabetes", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler(), linear_model.Lasso()))

for name, which, model in (
    ("iris", "iris", lightgbm.LGBMClassifier(n_estimators=30, verbose=-1)),
    ("cancer", "cancer", lightgbm.LGBMClassifier(n_estimators=30, verbose=-1)),
    ("diabetes", "diabetes", lightgbm.LGBMRegressor(n_estimators=50, verbose=-1)),
    ("poisson", "diabetes", lightgbm.LGBMRegressor(objective="poisson", n_estimators=30, verbose=-1)),
    ("forest", "diabetes", lightgbm.LGBMRegressor(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, verbose=-1)),
):
    x, y = data[which]
    x = x.astype(float)
    holes = x.copy()
    holes[random.random(x.shape) < 0.1] = numpy.nan
    model.fit(holes, y)
    asked = rows(which).astype(float)
    asked[random.random(asked.shape) < 0.1] = numpy.nan
    save(f"lightgbm-{name}", "model.txt", model.booster_.model_to_string().encode(), asked, {"": model.booster_.predict(asked)})
    if name in ("iris", "cancer", "diabetes"):
        model.fit(data[which][0], y)
        asked = rows(which)
        onnx = convert_lightgbm(model, initial_types=[("input", FloatTensorType([None, x.shape[1]]))], zipmap=False)
        expected = {"probabilities": model.predict_proba(asked)} if hasattr(model, "predict_proba") else {"": model.predict(asked)}
        save(f"lightgbm-onnx-{name}", "model.onnx", onnx.SerializeToString(), asked, expected)

x, y = data["iris"]
category = random.integers(0, 40, len(x))
wide = numpy.column_stack([x, category]).astype(float)
model = lightgbm.LGBMClassifier(n_estimators=30, min_child_samples=3, min_data_per_group=1, cat_smooth=1, verbose=-1)
model.fit(wide, (y + category) % 3, categorical_feature=[4])
asked = numpy.column_stack([rows("iris"), random.integers(-1, 45, count)]).astype(float)
save("lightgbm-categories", "model.txt", model.booster_.model_to_string().encode(), asked, {"": model.booster_.predict(asked)})

for name, which, model in (
    ("iris", "iris", xgboost.XGBClassifier(n_estimators=30)),
    ("cancer", "cancer", xgboost.XGBClassifier(n_estimators=30)),
    ("diabetes", "diabetes", xgboost.XGBRegressor(n_estimators=30)),
    ("poisson", "diabetes", xgboost.XGBRegressor(objective="count:poisson", n_estimators=30)),
    ("dart", "diabetes", xgboost.XGBRegressor(booster="dart", rate_drop=0.2, n_estimators=30)),
):
    x, y = data[which]
    model.fit(x, y)
    asked = rows(which)
    asked[random.random(asked.shape) < 0.1] = numpy.nan
    booster = model.get_booster()
    expected = {"": booster.predict(xgboost.DMatrix(asked))}
    for kind in ("json", "ubj"):
        save(f"xgboost-{kind}-{name}", f"model.{kind}", None, asked, expected)
        booster.save_model(f"xgboost-{kind}-{name}/model/model.{kind}")
    if name in ("iris", "cancer", "diabetes"):
        asked = rows(which)
        onnx = convert_xgboost(model, initial_types=[("input", FloatTensorType([None, x.shape[1]]))])
        expected = {"probabilities": model.predict_proba(asked)} if hasattr(model, "predict_proba") else {"": model.predict(asked)}
        save(f"xgboost-onnx-{name}", "model.onnx", onnx.SerializeToString(), asked, expected)
"""


def run(command):
    done = subprocess.run(command, env=ENV, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stderr[-3000:]}")
    return done.stdout


def flat(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for part in value for number in flat(part)]
    return [value]


def distance(answer, expected):
    """The largest difference; probabilities may be called otherwise by converters."""
    [(name, expected)] = expected.items()
    if isinstance(answer, dict):
        names = [key for key in answer if key != "label" and key != "output_label"]
        answer = answer[name] if name in answer else answer[names[-1]]
    answer, expected = flat(answer), flat(expected)
    if len(answer) != len(expected):
        return float("inf")
    return max(abs(a - b) / max(1, abs(b)) for a, b in zip(answer, expected))


if args.install and not PYTHON.exists():
    subprocess.run(["uv", "venv", str(args.peers)], check=True)
    install = ["uv", "pip", "install", "--only-binary", ":all:", "--python", str(PYTHON)]
    subprocess.run([*install, *PACKAGES], check=True)

wrong = 0
try:
    run([str(PYTHON), "-c", TRAIN, str(args.rows), str(args.seed)])
    run([AML, "workspace", "create", "-n", "native"])
    for folder in sorted(path for path in ROOT.iterdir() if (path / "rows.json").exists()):
        name = folder.name
        run([AML, "model", "register", "-n", name, "--path", str(folder / "model")])
        deployed = subprocess.run([AML, "deploy", f"{name}:1", "--name", "native", "--native"],
                                  env=ENV, cwd=ROOT, capture_output=True, text=True)
        if deployed.returncode != 0:
            wrong += 1
            print(f"FAILED {name}: {deployed.stderr.strip()[:400]}")
            subprocess.run([AML, "endpoint", "delete", "native", "--yes"], env=ENV, cwd=ROOT, capture_output=True)
            continue
        key = json.loads(run([AML, "endpoint", "keys", "native"]))["primary"]
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = urllib.request.Request(json.loads(deployed.stdout)["scoring_uri"], (folder / "rows.json").read_bytes(), headers)
        try:
            answer = json.load(urllib.request.urlopen(request))
        except urllib.error.HTTPError as error:
            wrong += 1
            print(f"FAILED {name}: {error.read()[:400]}")
            continue
        far = distance(answer, json.loads((folder / "expected.json").read_text()))
        wrong += far > 1e-5
        print(f"{'ok    ' if far <= 1e-5 else 'FAILED'} {name}: {far:.1e}", flush=True)
finally:
    subprocess.run([AML, "workspace", "delete", "-n", "native", "--yes"], env=ENV, cwd=ROOT, capture_output=True)
    shutil.rmtree(ROOT, ignore_errors=True)
sys.exit(1 if wrong else 0)
