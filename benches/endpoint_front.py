#!/usr/bin/env python3
"""Compares an endpoint's front with the bare scoring server, in one run.

Usage: benches/endpoint_front.py [--binary target/release/aml] [--seconds 5] [--json FILE]

Deploys a script that does nothing, starts the official server on the same script and the same
environment beside it, and asks both in turns, so that whatever else the machine does hits both.
Latency: one client, one request after the other. Throughput: eight clients. The bare server closes
each connection, so it is asked on new ones; the front is asked both on new and on kept ones.
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.parse

parser = argparse.ArgumentParser()
parser.add_argument("--binary", default="target/release/aml")
parser.add_argument("--seconds", type=float, default=5)
parser.add_argument("--json", type=pathlib.Path)
args = parser.parse_args()

AML = str(pathlib.Path(args.binary).resolve())
ROOT = pathlib.Path(tempfile.mkdtemp(prefix="aml-bench-"))
STATE = ROOT / "state"
ENV = {**os.environ, "AML_HOME": str(STATE), "AML_CONFIG": str(ROOT / "config.toml")}
SCRIPT = "def init():\n    pass\n\ndef run(raw_data):\n    return {'ok': True}\n"
BODY = b'{"data": [[5.1, 3.5, 1.4, 0.2]]}'
results = {}


def aml(*words):
    done = subprocess.run([AML, *words], env=ENV, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"aml {words}: {done.stderr}")
    return done.stdout


class Asker:
    """Sends requests to one address, on a kept connection or on new ones."""

    def __init__(self, port, key, keep):
        self.port, self.keep, self.connection = port, keep, None
        self.headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def ask(self):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.request("POST", "/score", BODY, self.headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"port {self.port} answered {answer.status}")
        if not self.keep:
            self.connection.close()
            self.connection = None


def latency(targets, seconds):
    """Median and lowest tenth in milliseconds of each target, asked in turns of fifty."""
    samples = {name: [] for name in targets}
    askers = {name: Asker(*target) for name, target in targets.items()}
    end = time.perf_counter() + seconds * len(targets)
    while time.perf_counter() < end:
        for name, asker in askers.items():
            for _ in range(50):
                begun = time.perf_counter()
                asker.ask()
                samples[name].append((time.perf_counter() - begun) * 1e3)
    return {
        name: (statistics.median(times), statistics.quantiles(times, n=10)[0])
        for name, times in samples.items()
    }


def throughput(target, seconds):
    """Requests per second of eight clients."""
    counts = [0] * 8
    end = time.perf_counter() + seconds

    def client(number):
        asker = Asker(*target)
        while time.perf_counter() < end:
            asker.ask()
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def report(name, value, unit):
    results[name] = value
    print(f"{name:48} {value:10.2f} {unit}")


bare = None
try:
    (ROOT / "model.txt").write_text("nothing")
    (ROOT / "score.py").write_text(SCRIPT)
    aml("workspace", "create", "-n", "bench")
    aml("model", "register", "-n", "nothing", "--path", "model.txt")
    endpoint = json.loads(aml("deploy", "nothing:1", "--name", "bench", "--script", "score.py"))
    key = json.loads(aml("endpoint", "keys", "bench"))["primary"]
    front = urllib.parse.urlparse(endpoint["scoring_uri"]).port
    server = next(STATE.glob("environments/*/bin/azmlinfsrv"))
    port = free_port()
    bare = subprocess.Popen(
        [server, "--entry_script", ROOT / "score.py", "--port", str(port), "--model_dir", ROOT],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(200):
        try:
            Asker(port, key, False).ask()
            break
        except OSError:
            time.sleep(0.1)
    targets = {
        "bare server": (port, key, False),
        "front, new connections": (front, key, False),
        "front, kept connection": (front, key, True),
    }
    times = latency(targets, args.seconds)
    for name, (median, lowest) in times.items():
        report(f"median, {name}", median, "ms")
        report(f"lowest tenth, {name}", lowest, "ms")
    for name in list(targets)[1:]:
        added = times[name][0] - times["bare server"][0]
        report(f"added at the median, {name}", added, "ms")
    rates = {name: [] for name in targets}
    for _ in range(3):
        for name, target in targets.items():
            rates[name].append(throughput(target, args.seconds / 3))
    for name, rate in rates.items():
        report(f"8 connections, {name}", statistics.median(rate), "requests/s")
finally:
    if bare is not None:
        bare.terminate()
        bare.wait()
    subprocess.run([AML, "workspace", "delete", "-n", "bench", "--yes"], env=ENV, cwd=ROOT)
    shutil.rmtree(ROOT, ignore_errors=True)
if args.json:
    args.json.write_text(json.dumps(results, indent=2))
