#!/usr/bin/env python3
"""Times what scripts written for Azure do: the door `az` beside the official client, data beside DVC,
environments of jobs beside plain uv. Everything in one run, in turns.

Usage: benches/azure.py [--binary target/release/aml] [--rounds 5] [--files 10000] [--size 20000]
                        [--peers DIR [--install]] [--uv uv] [--docs docs/performance.md]
       benches/azure.py --many 1000000 [--folder DIR] [--docs docs/performance.md]

The official client and DVC are those of the virtual environments DIR/azure-cli and DIR/dvc, which
`--install` makes with uv; without DIR they are left out. What the official client is timed with is its
`az --version`, which needs no network: no command of it is faster.

`--many` registers so many files of about a hundred bytes once as data, then again unchanged, in the
state directory and through a server on loopback, and says how much memory that took at most. They need
4 KiB of disk each, in DIR or where temporary files are. The tree is made before and brought to disk.
"""

import argparse
import os
import pathlib
import re
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
parser.add_argument("--peers", type=pathlib.Path, help="where the official client and DVC are")
parser.add_argument("--install", action="store_true", help="install them there first")
parser.add_argument("--uv", default=shutil.which("uv"))
parser.add_argument("--many", type=int, help="files of the one folder to register instead")
parser.add_argument("--folder", type=pathlib.Path, help="where to work")
parser.add_argument("--docs", type=pathlib.Path, help="page between whose marks the table is written")
args = parser.parse_args()

AML = str(pathlib.Path(args.binary).resolve())
ROOT = pathlib.Path(tempfile.mkdtemp(prefix="aml-bench-", dir=args.folder))
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
PEERS = {"azure-cli": "az", "dvc": "dvc"}
PLAIN = {
    "uv venv and uv pip install": [],
    "the same with --compile-bytecode": ["--compile-bytecode"],
}
USE = 'python -c "import pandas, sklearn"'
REQUIREMENTS = ["numpy==2.3.1", "pandas==2.3.1", "scikit-learn==1.7.0"]
samples = {}


def run(*command, cwd=ROOT, **more):
    done = subprocess.run(command, cwd=cwd, env=ENV | more, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def timed(name, *command, cwd=ROOT):
    start = time.perf_counter()
    run(*command, cwd=cwd)
    samples.setdefault(name, []).append((time.perf_counter() - start) * 1000)


def peer(name):
    program = args.peers / name / "bin" / PEERS[name] if args.peers else None
    return str(program) if program and program.exists() else None


def install():
    for name in PEERS:
        folder = args.peers / name
        if peer(name) is None:
            subprocess.run([args.uv, "venv", "-q", "--seed", str(folder)], check=True)
            python = str(folder / "bin/python")
            subprocess.run([args.uv, "pip", "install", "-q", "--python", python, name], check=True)


def write(mark, lines):
    """Prints a table, and puts it between its marks of the page."""
    text = "\n".join(lines)
    print(text)
    if args.docs:
        before, rest = args.docs.read_text().split(f"<!-- {mark} -->", 1)
        after = rest.split(f"<!-- /{mark} -->", 1)[1]
        args.docs.write_text(f"{before}<!-- {mark} -->\n{text}\n<!-- /{mark} -->{after}")


def doors():
    timed("az ml job show", AZ, "ml", "job", "show", "-n", "first", "-w", "bench", "-o", "none")
    if official := peer("azure-cli"):
        timed("official az --version", official, "--version")


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
    if dvc := peer("dvc"):
        os.sync()
        timed("dvc add", dvc, "add", "-q", folder.name)
        timed("dvc add, nothing changed", dvc, "add", "-q", folder.name)
    shutil.rmtree(folder)


def environments(number):
    """A new set each round, installed from wheels that are in uv's cache, and a first use of it. The next
    job comes while it is compiled as a whole; the last one when that is done."""
    lines = [*REQUIREMENTS, f"colorama=={['0.4.4', '0.4.5', '0.4.6'][number % 3]}"]
    dependencies = ", ".join(f'"{line}"' for line in lines)
    job = ROOT / f"job{number}.yml"
    job.write_text(
        f"command: {USE}\nenvironment:\n  image: python\n"
        f"  conda_file: {{dependencies: [{{pip: [{dependencies}]}}]}}\n"
    )
    for name, options in PLAIN.items():
        venv = ROOT / f"venv{number}{len(options)}"
        python = str(venv / "bin/python")
        start = time.perf_counter()
        run(args.uv, "venv", "-q", str(venv))
        run(args.uv, "pip", "install", "-q", *options, "--python", python, *lines)
        run("bash", "-c", USE, PATH=f"{venv}/bin:{ENV['PATH']}")
        samples.setdefault(name, []).append((time.perf_counter() - start) * 1000)
    create = [AML, "job", "create", "-f", str(job), "--stream", "-o", "none"]
    there = compiled()
    timed("a job with a new environment", *create)
    timed("the next job", *create)
    while compiled() == there:
        time.sleep(0.1)
    timed("a job with an environment that is there", *create)


def compiled():
    """The environments that are compiled."""
    return set((ROOT / "state/environments").glob("*-compiled/aml-complete"))


def many():
    """A million small files in one version of data."""
    folder = ROOT / "many"
    for i in range(args.many):
        if i % 1000 == 0:
            below = folder / f"part{i // 1000:04}"
            below.mkdir(parents=True)
        text = f"{i},{i * 7919 % 104729},{'abcdefghij' * 8}\n"
        (below / f"sample{i:07}.csv").write_text(text)
    os.sync()
    print(f"{args.many} files are there", flush=True)
    rows = []
    for where in ["state directory", "server"]:
        server = serve() if where == "server" else None
        for what in ["new", "unchanged", "unchanged"]:
            seconds, memory = measured([AML, "data", "create", "-n", "many", "--path", str(folder), "-o", "none"])
            served = f"{peak(server.pid):,.0f}" if server else ""
            rows.append(f"| {where}, {what} | {seconds:.1f} | {memory:,.0f} | {served} |")
            print(rows[-1], flush=True)
        if server:
            server.terminate()
            server.wait()
    head = f"| {args.many:,} files | seconds | memory of the command at most (MiB) | of the server |"
    write("many", [head, "|---|---:|---:|---:|", *rows])


def measured(command):
    """Seconds, and MiB of memory at most."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=ENV, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        raise SystemExit(f"{command}: {status}")
    return seconds, usage.ru_maxrss / 1024


def peak(process):
    lines = pathlib.Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def serve():
    """Starts a server on loopback with a state directory of its own, which is asked from now on."""
    home = {"AML_HOME": str(ROOT / "served")}
    run(AML, "workspace", "create", "-n", "bench", **home)
    server = subprocess.Popen(
        [AML, "serve", "--port", "0", "--no-worker"], env=ENV | home, stderr=subprocess.PIPE, text=True
    )
    url = next(re.search(r"http://\S+", line).group() for line in server.stderr if "http://" in line)
    pathlib.Path(ENV["AML_CONFIG"]).write_text(f'[profiles.bench]\nurl = "{url}"\n')
    ENV.update(AML_PROFILE="bench", AML_HOME=str(ROOT / "client"), AML_WORKSPACE="bench")
    return server


def main():
    if args.install:
        install()
    (ROOT / "bin").mkdir()
    run(AML, "az-link", str(ROOT / "bin"))
    run(AML, "workspace", "create", "-n", "bench")
    if args.many:
        return many()
    (ROOT / "first.yml").write_text("command: 'true'\nenvironment: {image: python}\n")
    run(AML, "job", "create", "-f", str(ROOT / "first.yml"), "-n", "first", "--stream")
    if dvc := peer("dvc"):
        run("git", "init", "-q")
        run(dvc, "init", "-q")
    for number in range(args.rounds):
        doors()
    for number in range(min(args.rounds, 3)):
        data(number)
    for number in range(min(args.rounds, 3) if args.uv else 0):
        environments(number)
    medians = {name: statistics.median(times) for name, times in samples.items()}
    pairs = {
        "az ml job show": "official az --version",
        "aml data create": "dvc add",
        "aml data create, nothing changed": "dvc add, nothing changed",
        "a job with a new environment": "uv venv and uv pip install",
        "the next job": None,
        "a job with an environment that is there": None,
    }
    whole = "the same with --compile-bytecode"
    lines = ["| | AMLite (ms) | | (ms) | times |", "|---|---:|---|---:|---:|"]
    for ours, theirs in pairs.items():
        if ours in medians and theirs in medians:
            times = medians[theirs] / medians[ours]
            lines.append(f"| {ours} | {medians[ours]:,.1f} | {theirs} | {medians[theirs]:,.1f} | {times:.1f} |")
        elif ours in medians:
            lines.append(f"| {ours} | {medians[ours]:,.1f} | | | |")
    if whole in medians:
        lines.append(f"| | | {whole} | {medians[whole]:,.1f} | |")
    write("azure", lines)


try:
    main()
finally:
    shutil.rmtree(ROOT, ignore_errors=True)
