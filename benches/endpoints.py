#!/usr/bin/env python3
"""Compares ways to serve the same scikit-learn model, in one run on one machine.

Usage: benches/endpoints.py --peers DIR [--install] [--binary target/release/aml] [--seconds 2]
                            [--rounds 9] [--docs docs/performance.md]

The model is a random forest of iris. It is served by Azure ML's scoring server alone, by `aml deploy`
(which stands before that server), by MLflow's own `models serve`, by BentoML, and by `aml deploy
--native` from ONNX when the binary can. `wrk` asks each in turns with the same rows: one connection for
the median, eight for the throughput. With --docs the table between the marks of that file is written.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("--binary", default="target/release/aml")
parser.add_argument("--peers", type=pathlib.Path, required=True, help="folder of the Python environment")
parser.add_argument("--install", action="store_true")
parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
parser.add_argument("--rounds", type=int, default=9, help="turns of each; the median counts")
parser.add_argument("--docs", type=pathlib.Path)
args = parser.parse_args()

PACKAGES = [
    "scikit-learn==1.7.0", "numpy<2.4", "pandas<3", "skl2onnx", "onnx", "mlflow", "bentoml",
    "azureml-inference-server-http", "joblib",
]
AML = str(pathlib.Path(args.binary).resolve())
ROOT = pathlib.Path(tempfile.mkdtemp(prefix="aml-bench-"))
STATE = ROOT / "state"
PYTHON = args.peers.resolve() / "bin" / "python"
ENV = {
    **os.environ,
    "AML_HOME": str(STATE),
    "AML_CONFIG": str(ROOT / "config.toml"),
    "BENTOML_HOME": str(ROOT / "bento"),
    "BENTOML_DO_NOT_TRACK": "1",
    "PATH": f"{args.peers.resolve() / 'bin'}:{os.environ['PATH']}",
}
ROWS = [[5.1, 3.5, 1.4, 0.2]]
TRAIN = """
import joblib, mlflow.sklearn, numpy
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from skl2onnx import to_onnx
x, y = load_iris(return_X_y=True)
model = RandomForestClassifier(n_estimators=20, random_state=0).fit(x, y)
joblib.dump(model, "model.joblib")
mlflow.sklearn.save_model(model, "mlflow_model", serialization_format="cloudpickle")
onnx = to_onnx(model, x[:1].astype(numpy.float32), options={"zipmap": False})
open("model.onnx", "wb").write(onnx.SerializeToString())
"""
SCRIPT = """
import glob, json, os
import joblib, numpy

def init():
    global model
    root = os.environ["AZUREML_MODEL_DIR"]
    [path] = glob.glob(root + "/**/model.joblib", recursive=True)
    model = joblib.load(path)

def run(raw_data):
    return model.predict(numpy.array(json.loads(raw_data)["data"])).tolist()
"""
BENTO = """
import bentoml, joblib, numpy

@bentoml.service(workers=1)
class Iris:
    def __init__(self):
        self.model = joblib.load("model.joblib")

    @bentoml.api
    def predict(self, data: list) -> list:
        return self.model.predict(numpy.array(data)).tolist()
"""
children = []


def run(command, **options):
    done = subprocess.run(command, env=ENV, cwd=ROOT, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stderr[-3000:]}")
    return done.stdout


def start(command, port):
    log = open(ROOT / f"{port}.log", "w")
    children.append(subprocess.Popen(command, env=ENV, cwd=ROOT, stdout=log, stderr=log, start_new_session=True))


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Target:
    def __init__(self, port, path, document, key=None):
        self.url = f"http://127.0.0.1:{port}{path}"
        self.body = json.dumps(document)
        self.headers = {"Content-Type": "application/json"}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"

    def ask(self):
        request = urllib.request.Request(self.url, self.body.encode(), self.headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def wait(self):
        end = time.monotonic() + 120
        while True:
            try:
                return self.ask()
            except OSError as error:
                if time.monotonic() > end:
                    log = ROOT / f"{urllib.parse.urlparse(self.url).port}.log"
                    said = log.read_text()[-3000:] if log.exists() else ""
                    raise SystemExit(f"{self.url}: {error}\n{said}")
                time.sleep(0.2)

    def wrk(self, connections, seconds):
        script = ROOT / "ask.lua"
        lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in self.headers.items()]
        script.write_text("\n".join(['wrk.method = "POST"', f"wrk.body = [==[{self.body}]==]", *lines]))
        text = run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), self.url])
        unit = {"us": 1e-3, "ms": 1, "s": 1e3}
        value, name = re.search(r"50%\s+([\d.]+)(us|ms|s)", text).groups()
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
        wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        if wrong:
            raise SystemExit(f"{self.url}: {wrong.group(0)}")
        return float(value) * unit[name], rate


def deploy(name, model, *words):
    begun = time.monotonic()
    endpoint = json.loads(run([AML, "deploy", model, "--name", name, *words]))
    took = time.monotonic() - begun
    key = json.loads(run([AML, "endpoint", "keys", name]))["primary"]
    return urllib.parse.urlparse(endpoint["scoring_uri"]).port, key, took


if args.install and not PYTHON.exists():
    subprocess.run(["uv", "venv", str(args.peers)], check=True)
    install = ["uv", "pip", "install", "--only-binary", ":all:", "--python", str(PYTHON)]
    subprocess.run([*install, *PACKAGES], check=True)

try:
    run([str(PYTHON), "-c", TRAIN])
    (ROOT / "score.py").write_text(SCRIPT)
    (ROOT / "service.py").write_text(BENTO)
    (ROOT / "requirements.txt").write_text("scikit-learn==1.7.0\nnumpy<2.4\njoblib\n")
    targets = {}

    bare = free_port()
    alone_with = ROOT / "alone"
    alone_with.mkdir()
    shutil.copy(ROOT / "model.joblib", alone_with)
    server = [str(args.peers.resolve() / "bin" / "azmlinfsrv"), "--entry_script", "score.py",
              "--model_dir", str(alone_with)]
    start([*server, "--port", str(bare)], bare)
    targets["scoring server alone"] = Target(bare, "/score", {"data": ROWS})

    run([AML, "workspace", "create", "-n", "bench"])
    run([AML, "model", "register", "-n", "iris", "--path", "model.joblib"])
    words = ["--script", "score.py", "--env", "requirements.txt"]
    port, key, _ = deploy("iris", "iris:1", *words)
    targets["`aml deploy`"] = Target(port, "/score", {"data": ROWS}, key)
    _, _, again = deploy("again", "iris:1", *words)
    run([AML, "endpoint", "delete", "again", "--yes"])

    port = free_port()
    start([str(args.peers.resolve() / "bin" / "mlflow"), "models", "serve", "-m", "mlflow_model", "-p", str(port),
           "--env-manager", "local", "-w", "1"], port)
    targets["MLflow `models serve`"] = Target(port, "/invocations", {"inputs": ROWS})

    port = free_port()
    start([str(args.peers.resolve() / "bin" / "bentoml"), "serve", "service:Iris", "-p", str(port)], port)
    targets["BentoML"] = Target(port, "/predict", {"data": ROWS})

    run([AML, "model", "register", "-n", "onnx", "--path", "model.onnx"])
    native = subprocess.run([AML, "deploy", "onnx:1", "--name", "native", "--native"], env=ENV, cwd=ROOT,
                            capture_output=True, text=True)
    if native.returncode == 0:
        port = urllib.parse.urlparse(json.loads(native.stdout)["scoring_uri"]).port
        key = json.loads(run([AML, "endpoint", "keys", "native"]))["primary"]
        targets["`aml deploy --native`, from ONNX"] = Target(port, "/score", {"input_data": ROWS}, key)
    else:
        print(f"without native scoring: {native.stderr}", file=sys.stderr)

    for target in targets.values():
        target.wait()
    # How long the server itself needs to be up.
    port = free_port()
    begun = time.monotonic()
    start([*server, "--port", str(port)], port)
    Target(port, "/score", {"data": ROWS}).wait()
    alone = time.monotonic() - begun
    os.killpg(children[-1].pid, 15)

    results = {name: ([], []) for name in targets}
    for _ in range(args.rounds):
        for name, target in targets.items():
            results[name][0].append(target.wrk(1, args.seconds)[0])
            results[name][1].append(target.wrk(8, args.seconds)[1])
    middle = lambda values: sorted(values)[len(values) // 2]
    lines = ["| | median, one connection | eight connections |", "|---|---:|---:|"]
    for name, (medians, rates) in results.items():
        lines.append(f"| {name} | {middle(medians):.2f} ms | {middle(rates):,.0f} /s |")
    lines.append("")
    lines.append(f"Deployed again, its environment built, it answers after {again:.1f} s; the scoring server alone "
                 f"with the same script after {alone:.1f} s.")
    print("\n".join(lines))
    if args.docs:
        text = args.docs.read_text()
        begin, end = "<!-- endpoints -->\n", "<!-- /endpoints -->"
        before, rest = text.split(begin)
        args.docs.write_text(before + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1])
finally:
    subprocess.run([AML, "workspace", "delete", "-n", "bench", "--yes"], env=ENV, cwd=ROOT, capture_output=True)
    for child in children:
        try:
            os.killpg(child.pid, 9)
        except ProcessLookupError:
            pass
        child.wait()
    shutil.rmtree(ROOT, ignore_errors=True)
