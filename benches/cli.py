#!/usr/bin/env python3
"""Times the command line as whole processes: start-up, lists, submitting, starting.

Usage: benches/cli.py [--binary target/release/aml] [--runs 50] [--json FILE]

Prints the minimum, median and maximum of each figure in milliseconds. The floor, a process that
does nothing, is measured in the same run, because on a shared machine it moves.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("--binary", default="target/release/aml")
parser.add_argument("--runs", type=int, default=50)
parser.add_argument("--json", type=pathlib.Path)
args = parser.parse_args()

AML = str(pathlib.Path(args.binary).resolve())
ROOT = pathlib.Path(tempfile.mkdtemp(prefix="aml-bench-"))
ENV = {
    "PATH": os.environ["PATH"],
    "HOME": str(ROOT),
    "AML_HOME": str(ROOT / "state"),
    "AML_CONFIG": str(ROOT / "config.toml"),
}
DEVNULL = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
results = {}


def spawn(*command):
    """Runs a command to its end and answers its wall time in milliseconds."""
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], command, ENV, file_actions=DEVNULL)
    _, status = os.waitpid(pid, 0)
    elapsed = (time.perf_counter() - start) * 1000
    if status != 0:
        raise SystemExit(f"{command} ended with status {status}")
    return elapsed


def report(name, samples):
    row = [min(samples), statistics.median(samples), max(samples)]
    results[name] = row
    print(f"{name:52} {row[0]:9.2f} {row[1]:9.2f} {row[2]:9.2f}")


def aml(*arguments):
    done = subprocess.run([AML, *arguments], env=ENV, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"aml {arguments}: {done.stderr}")
    return done.stdout


def fill(count):
    """Makes runs with metrics and params through a server on the same state directory."""
    log = ROOT / "serve.log"
    with log.open("w") as stderr:
        server = subprocess.Popen([AML, "serve", "--port", "0", "--no-worker"], env=ENV, stderr=stderr)
    while not (found := re.search(r"http://\S+\n", log.read_text())):
        time.sleep(0.01)
    url = found.group().strip()

    def call(operation, **body):
        request = urllib.request.Request(
            f"{url}/api/v1/{operation}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    experiment = call("experiments.create", workspace="bench", name="filled")["id"]
    for i in range(count):
        call("runs.create", workspace="bench", name=f"filled_{i}", experiment_id=experiment,
             display_name=f"filled {i}", user="bench", status="Running")
        points = [{"key": f"metric_{k}", "value": i * 0.001 + k, "step": 1} for k in range(10)]
        call("runs.log", workspace="bench", run=f"filled_{i}", metrics=points,
             params={f"param_{k}": str(i % (k + 2)) for k in range(10)})
        call("runs.update", workspace="bench", run=f"filled_{i}", status="Completed")
    server.terminate()
    server.wait()


def start_latency():
    """From calling `run submit` until the run's own process writes the time; and the call alone."""
    stamp = ROOT / "stamp"
    command = f"date +%s%N > {stamp}.new && mv {stamp}.new {stamp}"
    stamp.unlink(missing_ok=True)
    begin = time.time_ns()
    call = spawn(AML, "run", "submit", "--experiment", "latency", "--", "sh", "-c", command)
    while not stamp.exists():
        if time.time_ns() - begin > 30e9:
            raise SystemExit("the run did not start within 30 s")
        time.sleep(0.001)
    return call, (int(stamp.read_text()) - begin) / 1e6


try:
    print(f"{'milliseconds':52} {'min':>9} {'median':>9} {'max':>9}")
    aml("workspace", "create", "-n", "bench")
    true = shutil.which("true")
    report("a process that does nothing (the floor)", [spawn(true) for _ in range(args.runs)])
    report("aml --version", [spawn(AML, "--version") for _ in range(args.runs)])
    report("aml run --help", [spawn(AML, "run", "--help") for _ in range(args.runs)])
    report("aml workspace show", [spawn(AML, "workspace", "show") for _ in range(args.runs)])
    fill(1000)
    listing = [AML, "run", "list", "--experiment", "filled"]
    report("aml run list, 50 of 1,000 runs", [spawn(*listing) for _ in range(args.runs)])
    everything = [*listing, "--limit", "1000"]
    report("aml run list --limit 1000", [spawn(*everything) for _ in range(args.runs)])
    best = [AML, "run", "best", "--experiment", "filled", "--metric", "metric_3", "--goal", "maximize"]
    report("aml run best", [spawn(*best) for _ in range(args.runs)])
    cold = start_latency()
    warm = [start_latency() for _ in range(args.runs)]
    report("aml run submit, no worker there", [cold[0]])
    report("  until its process runs", [cold[1]])
    report("aml run submit, worker there", [call for call, _ in warm])
    report("  until its process runs", [started for _, started in warm])
    if args.json:
        args.json.write_text(json.dumps(results, indent=2))
finally:
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(ROOT).encode() in environ.read_bytes():
                os.kill(int(environ.parent.name), 15)
        except OSError:
            pass  # ended meanwhile, or not ours
    shutil.rmtree(ROOT, ignore_errors=True)
