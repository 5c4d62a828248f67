#!/usr/bin/env python3
"""Times what scripts written for Azure do: the door `az` beside the official client, data beside DVC,
environments of jobs beside plain uv. Everything in one run, in turns.

Usage: benches/azure.py [--binary target/release/aml] [--rounds 5] [--files 10000] [--size 20000]
                        [--azure-cli .../bin/az] [--dvc .../bin/dvc] [--uv uv]

The official client and DVC are left out where they are not named (`pip install azure-cli`, `pip
install dvc`, each in a virtual environment of its own). What the official client is timed with is its
`az --version`, which needs no network: no command of it is faster.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("--binary", default="target/release/aml")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--files", type=int, default=10_000)
parser.add_argument("--size", type=int, default=20_000)
parser.add_argument("--azure-cli")
parser.add_argument("--dvc")
parser.add_argument("--uv", default=shutil.which("uv"))
args = parser.parse_args()

AML = str(pathlib.Path(args.binary).resolve())
ROOT = pathlib.Path(tempfile.mkdtemp(prefix="aml-bench-"))
ENV = os.environ | {
    "HOME": str(ROOT),
    "AML_HOME": str(ROOT / "state"),
    "AML_CONFIG": str(ROOT / "config.toml"),
    "AZURE_CONFIG_DIR": str(ROOT / "azure"),
    "AZURE_CORE_COLLECT_TELEMETRY": "false",
    "DVC_NO_ANALYTICS": "true",
    "UV_CACHE_DIR": str(ROOT / "uv"),
}
AZ = str(ROOT / "bin/az")
REQUIREMENTS = ["numpy==2.3.1", "pandas==2.3.1", "scikit-learn==1.7.0"]
samples = {}


def run(*command, cwd=ROOT):
    done = subprocess.run(command, cwd=cwd, env=ENV, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def timed(name, *command, cwd=ROOT):
    start = time.perf_counter()
    run(*command, cwd=cwd)
    samples.setdefault(name, []).append((time.perf_counter() - start) * 1000)


def doors():
    timed("az ml job show", AZ, "ml", "job", "show", "-n", "first", "-w", "bench", "-o", "none")
    if args.azure_cli:
        timed("official az --version", args.azure_cli, "--version")


def data(number):
    folder = ROOT / f"data{number}"
    for i in range(args.files):
        path = folder / f"part{i % 97}" / f"file{i}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(args.size))
    os.sync()
    create = [AML, "data", "create", "-n", f"data{number}", "--path", str(folder), "-o", "none"]
    timed("aml data create", *create)
    timed("aml data create, nothing changed", *create)
    if args.dvc:
        os.sync()
        timed("dvc add", args.dvc, "add", "-q", folder.name)
        timed("dvc add, nothing changed", args.dvc, "add", "-q", folder.name)
    shutil.rmtree(folder)


def environments(number):
    """A new set each round, installed from wheels that are in uv's cache."""
    lines = [*REQUIREMENTS, f"colorama=={['0.4.4', '0.4.5', '0.4.6'][number % 3]}"]
    dependencies = ", ".join(f'"{line}"' for line in lines)
    job = ROOT / f"job{number}.yml"
    job.write_text(
        "command: python -c pass\nenvironment:\n  image: python\n"
        f"  conda_file: {{dependencies: [{{pip: [{dependencies}]}}]}}\n"
    )
    venv = ROOT / f"venv{number}"
    start = time.perf_counter()
    run(args.uv, "venv", "-q", str(venv))
    run(args.uv, "pip", "install", "-q", "--python", str(venv / "bin/python"), *lines)
    samples.setdefault("uv venv and uv pip install", []).append((time.perf_counter() - start) * 1000)
    create = [AML, "job", "create", "-f", str(job), "--stream", "-o", "none"]
    timed("a job with a new environment", *create)
    timed("a job with an environment that is there", *create)


def main():
    (ROOT / "bin").mkdir()
    run(AML, "az-link", str(ROOT / "bin"))
    run(AML, "workspace", "create", "-n", "bench")
    (ROOT / "first.yml").write_text("command: 'true'\nenvironment: {image: python}\n")
    run(AML, "job", "create", "-f", str(ROOT / "first.yml"), "-n", "first", "--stream")
    if args.dvc:
        run("git", "init", "-q")
        run(args.dvc, "init", "-q")
    for number in range(args.rounds):
        doors()
    for number in range(min(args.rounds, 3)):
        data(number)
    for number in range(min(args.rounds, 3) if args.uv else 0):
        environments(number)
    for name, times in samples.items():
        print(f"{name:42} median {statistics.median(times):9.1f} ms  (of {len(times)})")
    medians = {name: statistics.median(times) for name, times in samples.items()}
    for ours, theirs in [
        ("az ml job show", "official az --version"),
        ("aml data create", "dvc add"),
        ("aml data create, nothing changed", "dvc add, nothing changed"),
        ("a job with a new environment", "uv venv and uv pip install"),
    ]:
        if ours in medians and theirs in medians:
            print(f"{theirs} / {ours}: {medians[theirs] / medians[ours]:.1f}")


try:
    main()
finally:
    shutil.rmtree(ROOT, ignore_errors=True)
