#!/usr/bin/env python3
"""Times storing a folder of 10,000 files (200 MB): `aml snapshot` beside `git add`, in one run.

Usage: benches/snapshot.py [--binary target/release/aml] [--rounds 3] [--files 10000] [--size 20000]

Each round makes the folder anew, with content that does not compress, and stores it once with each
tool into an empty repository or state directory, in turns; then both again with nothing changed, and
after one file changed. The same is done through `aml serve` on loopback.
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
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--files", type=int, default=10_000)
parser.add_argument("--size", type=int, default=20_000)
args = parser.parse_args()

AML = str(pathlib.Path(args.binary).resolve())
ROOT = pathlib.Path(tempfile.mkdtemp(prefix="aml-bench-"))
ENV = {"PATH": os.environ["PATH"], "HOME": str(ROOT), "AML_CONFIG": str(ROOT / "config.toml")}
samples = {}


def timed(name, *command, cwd=None, **env):
    start = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=ENV | env, capture_output=True, text=True)
    elapsed = (time.perf_counter() - start) * 1000
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stderr}")
    if name:
        samples.setdefault(name, []).append(elapsed)


def make(folder):
    for i in range(args.files):
        path = folder / f"part{i % 97}" / f"group{i % 11}" / f"file{i}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(args.size))
    os.sync()


def git(folder, round):
    repository = {"GIT_DIR": str(ROOT / f"git{round}"), "GIT_WORK_TREE": str(folder)}
    timed(None, "git", "init", "-q", **repository)
    add = ["git", "add", "-A", "."]
    timed("git add, empty repository", *add, cwd=folder, **repository)
    timed("git add, nothing changed", *add, cwd=folder, **repository)
    (folder / "part1/changed").write_text(str(round))
    timed("git add, one file changed", *add, cwd=folder, **repository)
    os.sync()


def aml(folder, state, where, *options, **env):
    env["AML_HOME"] = str(state)
    timed(None, AML, "workspace", "create", "-n", "bench", *options, **env)
    snapshot = [AML, "snapshot", str(folder), *options]
    timed(f"aml snapshot, empty {where}", *snapshot, **env)
    timed(f"aml snapshot, nothing changed, {where}", *snapshot, **env)
    timed(f"aml snapshot, nothing changed, {where}", *snapshot, **env)
    (folder / "part1/changed").write_text(where)
    timed(f"aml snapshot, one file changed, {where}", *snapshot, **env)
    os.sync()


def remote(folder, round):
    server = subprocess.Popen(
        [AML, "serve", "--port", "0", "--no-worker"],
        env=ENV | {"AML_HOME": str(ROOT / f"server{round}")},
        stderr=subprocess.PIPE,
        text=True,
    )
    url = next(re.search(r"http://\S+", line).group() for line in server.stderr if "http://" in line)
    (ROOT / "config.toml").write_text(f'[profiles.bench]\nurl = "{url}"\n')
    try:
        aml(folder, ROOT / f"client{round}", "server", "--profile", "bench")
    finally:
        server.terminate()
        server.wait()
        (ROOT / "config.toml").unlink()


try:
    for round in range(args.rounds):
        folder = ROOT / f"folder{round}"
        folder.mkdir()
        make(folder)
        turns = [git, lambda f, r: aml(f, ROOT / f"state{r}", "state directory"), remote]
        for turn in turns[round % 3 :] + turns[: round % 3]:
            turn(folder, round)
        shutil.rmtree(folder)
    print(f"{'milliseconds':52} {'min':>9} {'median':>9} {'max':>9}")
    for name, row in sorted(samples.items()):
        print(f"{name:52} {min(row):9.1f} {statistics.median(row):9.1f} {max(row):9.1f}")
finally:
    shutil.rmtree(ROOT, ignore_errors=True)
