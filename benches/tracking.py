#!/usr/bin/env python3
"""Compares tracking servers that speak MLflow's REST protocol, in one run, beside the machine's floor.

Usage: benches/tracking.py [--binary target/release/aml] [--peers DIR] [--quick] [--scale] [--json FILE]
                           [--docs docs/performance.md] [--from FILE]

Starts one server after the other on loopback with an empty folder, asks it over plain HTTP/1.1 on
kept connections with prepared bodies, and prints a table with a column for each. DIR has two Python
environments: `mlflow`, with the package mlflow, and `fasttrackml`, with the package fasttrackml;
--install makes them. --scale adds what takes minutes, for aml alone: 100,000 runs in one experiment, a
history of 1,000,000 points, runs with 1,000 metrics, a file of 5 GB.

The floor is what the same client gets without a server behind it: a socket that answers a fixed text
(HTTP), the time of a synced write (disk), SQLite inserting rows in transactions of 1,000.

--docs puts the tables in the place of those in a document, between the comments that name them: those of
this run, or with --from those of an earlier one that was kept by --json.
"""

import argparse
import json
import math
import multiprocessing
import os
import pathlib
import shlex
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
CLIENTS = 8
FORK = multiprocessing.get_context("fork")


class Connection:
    """One kept connection: raw, because http.client costs more than the servers measured."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.address = (parts.hostname, parts.port)
        self.host = parts.netloc
        self.socket, self.rest = None, b""

    def head(self, method, path, length=0, kind="application/json"):
        return (f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {length}\r\n\r\n").encode()

    def post(self, path, body):
        """A request's bytes, to be sent any number of times."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.head("POST", API + path, len(body)) + body

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket, self.rest = None, b""

    def open(self):
        if self.socket is None:
            self.socket = socket.create_connection(self.address, timeout=300)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.socket

    def send(self, request, sink=None):
        """Sends bytes; answers the body, which goes to `sink` instead if there is one."""
        fresh = self.socket is None
        try:
            self.open().sendall(request)
            return self.answer(sink)
        except ConnectionError:
            self.close()
            if fresh:
                raise
            return self.send(request, sink)

    def more(self, size=1 << 18):
        chunk = self.socket.recv(size)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        return chunk

    def answer(self, sink=None):
        data = self.rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.more()
        head, body = data[:end].lower(), data[end + 4:]
        status, at = int(head[9:12]), head.find(b"content-length:")
        if at >= 0:
            length = int(head[at + 15:].split(b"\r\n", 1)[0])
            if sink and status == 200:
                sink(body)
                while (left := length - len(body)) > 0 and (chunk := self.more(min(left, 1 << 20))):
                    sink(chunk)
                    length -= len(chunk)
                self.rest, body = b"", b""
            else:
                parts, have = [body], len(body)
                while have < length:
                    parts.append(self.more(1 << 20))
                    have += len(parts[-1])
                body = b"".join(parts)
                body, self.rest = body[:length], body[length:]
        elif b"transfer-encoding: chunked" in head:
            body = self.chunks(body, sink)
        else:
            self.rest = body
            body = b""
        if status != 200:
            raise RuntimeError(f"status {status}: {body[:200]!r}")
        if b"connection: close" in head:
            self.close()
        return body

    def chunks(self, rest, sink):
        parts = []
        while True:
            while b"\r\n" not in rest:
                rest += self.more()
            size, rest = rest.split(b"\r\n", 1)
            size = int(size.split(b";")[0], 16)
            while len(rest) < size + 2:
                rest += self.more()
            (sink or parts.append)(rest[:size])
            rest = rest[size + 2:]
            if size == 0:
                self.rest = rest
                return b"".join(parts)

    def ask(self, path, body):
        return json.loads(self.send(self.post(path, body)) or b"{}")

    def new_run(self, experiment, name="bench"):
        run = {"experiment_id": experiment, "start_time": now(), "run_name": name,
               "tags": [{"key": "mlflow.user", "value": "bench"}]}
        return self.ask("/runs/create", run)["run"]["info"]["run_id"]


def now():
    return int(time.time() * 1000)


def processes(pid):
    """A process and all below it."""
    children = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    found = [pid]
    for process in found:
        found += children.get(process, [])
    return found


def memory(pid):
    """Resident memory of a process tree in MiB, pages that are shared counted once."""
    kilobytes = 0
    for process in processes(pid):
        try:
            lines = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024


def cpu(pid):
    ticks = 0
    for process in processes(pid):
        try:
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Others:
    """How many cores other programs than this one and its server keep busy."""

    def __init__(self, pid):
        self.pid, self.begun = pid, time.monotonic()
        self.before = self.used()

    def used(self):
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        ours = sum(os.times()[:4]) + (cpu(self.pid) if self.pid else 0)
        return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK") - ours

    def cores(self):
        return max(0, self.used() - self.before) / (time.monotonic() - self.begun)


def wait_for_calm(pid, patience):
    """Waits at most so long until the machine has nothing else to do; seconds waited."""
    begun = time.monotonic()
    while time.monotonic() - begun < patience:
        others = Others(pid)
        time.sleep(.7)
        if others.cores() < .2:
            break
    return time.monotonic() - begun


# Workloads: each takes a connection and answers what is done again and again, by its number.

def create(connection, experiment):
    return lambda n: connection.new_run(experiment, f"r{n}")


def log_metric(connection, experiment):
    run, at = connection.new_run(experiment), now()
    return lambda n: connection.send(connection.post("/runs/log-metric", (
        b'{"run_id":"%s","key":"loss","value":%.6f,"timestamp":%d,"step":%d}'
        % (run.encode(), 1 / (n + 1), at + n, n))))


def log_batch(connection, experiment, keys=10, size=1000, run=None):
    run, at, steps = run or connection.new_run(experiment), now(), size // keys

    def step(n):
        rows = ",".join('{"key":"m%d","value":%.6f,"timestamp":%d,"step":%d}'
                        % (key, math.sin(step * .01) + key, at + step, step)
                        for step in range(n * steps, (n + 1) * steps) for key in range(keys))
        connection.send(connection.post("/runs/log-batch", ('{"run_id":"%s","metrics":[%s]}' % (run, rows)).encode()))
    return step


def train(connection, experiment):
    """One call after the other of a run: made, 20 params, 200 steps with 5 metrics, ended."""
    state = {}

    def step(n):
        at = n % 202
        if at == 0:
            state["run"] = run = connection.new_run(experiment, f"train{n}")
            params = [{"key": f"p{key}", "value": f"value-{key}"} for key in range(20)]
            connection.ask("/runs/log-batch", {"run_id": run, "params": params})
        elif at <= 200:
            rows = ",".join('{"key":"m%d","value":%.6f,"timestamp":%d,"step":%d}' % (key, key + 1 / at, now(), at)
                            for key in range(5))
            body = '{"run_id":"%s","metrics":[%s]}' % (state["run"], rows)
            connection.send(connection.post("/runs/log-batch", body.encode()))
        else:
            connection.ask("/runs/update", {"run_id": state["run"], "status": "FINISHED", "end_time": now()})
    return step


def loss_of(n):
    return n * 0.6180339887498949 % 1


def fill(connection, experiment, client, clients):
    """Runs to be searched: known losses, one of three learning rates."""
    def step(n):
        n = n * clients + client
        run, loss = connection.new_run(experiment, f"s{n}"), loss_of(n)
        connection.ask("/runs/log-batch", {
            "run_id": run,
            "metrics": [{"key": "loss", "value": loss, "timestamp": now(), "step": 0},
                        {"key": "acc", "value": 1 - loss, "timestamp": now(), "step": 0}],
            "params": [{"key": "lr", "value": ("0.1", "0.01", "0.001")[n % 3]}, {"key": "depth", "value": str(n % 7)}],
            "tags": [{"key": "group", "value": f"g{n % 10}"}]})
    return step


FILTER = {"filter": "metrics.loss < 0.1 and params.lr = '0.01'", "order_by": ["metrics.loss ASC"], "max_results": 100}


def search(connection, experiment, **more):
    request = connection.post("/runs/search", {"experiment_ids": [experiment], **more})
    return lambda n: connection.send(request)


WORK = {"create": create, "log_metric": log_metric, "log_batch": log_batch, "train": train, "fill": fill,
        "search": search}


def repeat(step, count, seconds):
    """Does a step so many times or so long; times of each and of all."""
    times, begun = [], time.perf_counter()
    last, end = begun, begun + seconds
    for n in range(count):
        step(n)
        at = time.perf_counter()
        times.append(at - last)
        last = at
        if at > end:
            break
    return times, last - begun


def worker(kind, url, arguments, count, seconds, together, out):
    try:
        step = WORK[kind](Connection(url), *arguments[0], **arguments[1])
        together.wait(60)
        begun = time.time()
        times, _ = repeat(step, count, seconds)
        out.put((times, begun, time.time(), None))
    except Exception as error:  # it is another process: told, not raised
        together.abort()
        out.put(([], 0, 0, repr(error)))


def at_once(kind, url, clients, count, seconds, arguments):
    """The same from several processes; the whole time is from the first begin to the last end."""
    together, out = FORK.Barrier(clients), FORK.Queue()
    all_of_them = [FORK.Process(target=worker, args=(kind, url, arguments(n), count // clients, seconds, together, out))
                   for n in range(clients)]
    for process in all_of_them:
        process.start()
    results = [out.get(timeout=seconds * 3 + 120) for _ in all_of_them]
    for process in all_of_them:
        process.join()
    if failed := [error for *_, error in results if error]:
        raise RuntimeError(f"{len(failed)} of {clients} clients failed: {failed[0]}")
    times = [one for times, *_ in results for one in times]
    return times, max(end for _, _, end, _ in results) - min(begun for _, begun, _, _ in results)


def low(times):
    return statistics.median(times) * 1e3


def high(times):
    return sorted(times)[min(len(times) - 1, int(len(times) * .99))] * 1e3


class Bench:
    """Asks one server everything; `rows` are what the table shows, by name."""

    def __init__(self, url, pid, quick, patience):
        self.url, self.pid, self.part, self.patience = url, pid, .25 if quick else 1, patience
        self.disturbed = 0
        # Idle is who has been asked nothing for a while.
        time.sleep(5)
        self.rows = {"memory, idle (MiB)": memory(pid)}
        self.connection = Connection(url)
        self.runs, self.points = (1000, 10_000) if quick else (10_000, 100_000)
        self.experiment = self.new_experiment("log")
        self.searched = self.new_experiment("search")

    def new_experiment(self, name):
        return self.connection.ask("/experiments/create", {"name": f"{name}-{time.time_ns()}"})["experiment_id"]

    def row(self, name, value):
        self.rows[name] = value
        print(f"  {name:44}{value:12.2f}", file=sys.stderr)

    def alone(self, step, count, seconds):
        return repeat(step, count, seconds * self.part)

    def together(self, kind, count, seconds, arguments, clients=CLIENTS):
        return at_once(kind, self.url, clients, count, seconds * self.part, arguments)

    def all(self):
        for section in (self.logging, self.together_logging, self.batches, self.training, self.filling, self.searching,
                        self.paging, self.history, self.sample, self.files):
            self.patience -= wait_for_calm(self.pid, self.patience)
            others = Others(self.pid)
            try:
                section()
            except (RuntimeError, OSError, KeyError) as error:
                print(f"  {section.__name__}: {error}", file=sys.stderr)
            self.disturbed = max(self.disturbed, others.cores())
        self.row("cores busy with other work, at worst", self.disturbed)
        self.row("memory, afterwards (MiB)", memory(self.pid))
        return self.rows

    def logging(self):
        times, took = self.alone(create(self.connection, self.experiment), 2000, 8)
        self.row("runs/create, 1 client (/s)", len(times) / took)
        used = cpu(self.pid)
        times, took = self.alone(log_metric(self.connection, self.experiment), 20_000, 8)
        self.row("log-metric, 1 client (/s)", len(times) / took)
        self.row("log-metric, 1 client, p99 (ms)", high(times))
        self.row("log-metric, server's CPU (ms a call)", (cpu(self.pid) - used) * 1e3 / len(times))

    def together_logging(self):
        times, took = self.together("log_metric", 80_000, 8, lambda n: ((self.experiment,), {}))
        self.row(f"log-metric, {CLIENTS} clients (/s)", len(times) / took)
        self.row(f"log-metric, {CLIENTS} clients, p99 (ms)", high(times))

    def batches(self):
        times, took = self.alone(log_batch(self.connection, self.experiment), 400, 10)
        self.row("log-batch of 1,000 (points/s)", len(times) * 1000 / took)

    def training(self):
        times, took = self.alone(train(self.connection, self.experiment), 202 * 200, 10)
        self.row("training, 1 client (calls/s)", len(times) / took)
        times, took = self.together("train", 202 * 800, 10, lambda n: ((self.experiment,), {}))
        self.row(f"training, {CLIENTS} clients (calls/s)", len(times) / took)

    def filling(self):
        times, took = self.together("fill", self.runs, 300 / self.part, lambda n: ((self.searched, n, 4), {}), 4)
        self.row("2 calls a run, 4 clients (runs/s)", len(times) / took)

    def searching(self):
        found = self.connection.ask("/runs/search", {"experiment_ids": [self.searched], **FILTER})["runs"]
        losses = [{m["key"]: m["value"] for m in run["data"]["metrics"]}["loss"] for run in found]
        expected = sorted(loss_of(n) for n in range(self.runs) if loss_of(n) < .1 and n % 3 == 1)[:100]
        if losses != expected:
            raise RuntimeError("the search answers other runs than it should")
        times, _ = self.alone(search(self.connection, self.searched, **FILTER), 300, 15)
        self.row("search by metric and param, ordered, p50 (ms)", low(times))
        self.row("search by metric and param, ordered, p99 (ms)", high(times))
        times, took = self.together("search", 4000, 8, lambda n: ((self.searched,), FILTER))
        self.row(f"the same, {CLIENTS} clients (/s)", len(times) / took)
        times, _ = self.alone(search(self.connection, self.searched, max_results=100), 200, 6)
        self.row("newest 100 runs, p50 (ms)", low(times))

    def paging(self):
        begun, count, page = time.perf_counter(), 0, {}
        while count == 0 or page:
            answer = self.connection.ask("/runs/search", {"experiment_ids": [self.searched], "max_results": 1000, **page})
            count += len(answer["runs"])
            page = {"page_token": answer["next_page_token"]} if answer.get("next_page_token") else {}
        if count != self.runs:
            raise RuntimeError(f"the pages have {count} runs")
        self.row("all runs in pages of 1,000 (runs/s)", count / (time.perf_counter() - begun))

    def history(self):
        self.run = self.connection.new_run(self.experiment)
        step = log_batch(self.connection, self.experiment, 1, 1000, self.run)
        times, took = repeat(step, self.points // 1000, 120)
        self.row("history of 1 metric, written (points/s)", len(times) * 1000 / took)
        path = f"{API}/metrics/get-history?run_id={self.run}&metric_key=m0"
        whole = self.connection.head("GET", path)
        if self.connection.send(whole).count(b'"step"') != self.points:
            raise RuntimeError("the history has another length")
        times, _ = self.alone(lambda n: self.connection.send(whole), 5, 10)
        self.row("history, read whole (points/s)", self.points / statistics.median(times))
        page = self.connection.head("GET", f"{path}&max_results=25000")
        times, _ = self.alone(lambda n: self.connection.send(page), 20, 10)
        self.row("history, a page of 25,000, p50 (ms)", low(times))

    def sample(self):
        path = f"{API}/metrics/get-history-bulk-interval?run_ids={self.run}&metric_key=m0&max_results=320"
        request = self.connection.head("GET", path)
        times, _ = self.alone(lambda n: self.connection.send(request), 20, 4)
        self.row("history, 320 points for a chart, p50 (ms)", low(times))

    def files(self, megabytes=200):
        c, run, small = self.connection, self.connection.new_run(self.experiment), os.urandom(10_240)
        base = f"{ARTIFACTS}/{self.experiment}/{run}/artifacts"
        put = lambda n: c.send(c.head("PUT", f"{base}/f{n}", len(small), "application/octet-stream") + small)
        times, took = self.alone(put, 100, 15)
        self.row("artifact of 10 KB, put (/s)", len(times) / took)
        times, took = self.alone(lambda n: c.send(c.head("GET", f"{base}/f{n}")), len(times), 15)
        self.row("artifact of 10 KB, get (/s)", len(times) / took)
        self.large(base, megabytes)

    def large(self, base, megabytes):
        c, block, peak, stop = self.connection, os.urandom(1 << 20), [0], threading.Event()

        def watch():
            while not stop.wait(.2):
                peak[0] = max(peak[0], memory(self.pid))
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            begun = time.perf_counter()
            c.open().sendall(c.head("PUT", f"{base}/large", megabytes << 20, "application/octet-stream"))
            for _ in range(megabytes):
                c.socket.sendall(block)
            c.answer()
            self.row(f"artifact of {megabytes} MiB, put (MB/s)", megabytes * 1.048576 / (time.perf_counter() - begun))
            begun, size = time.perf_counter(), [0]
            c.send(c.head("GET", f"{base}/large"), lambda chunk: size.__setitem__(0, size[0] + len(chunk)))
            self.row(f"artifact of {megabytes} MiB, get (MB/s)", megabytes * 1.048576 / (time.perf_counter() - begun))
            if size[0] != megabytes << 20:
                raise RuntimeError(f"{size[0]} bytes came back")
        finally:
            stop.set()
            watcher.join()
        self.row(f"artifact of {megabytes} MiB, memory at most (MiB)", peak[0])

    def scale(self):
        """What only shows when there is much."""
        runs, points = 100_000, 1_000_000
        times, took = self.together("fill", runs, 600, lambda n: ((self.searched, n, CLIENTS), {}))
        self.row(f"filling {runs:,} runs (runs/s)", len(times) / took)
        for name, more in {
            "by metric and param, ordered by metric": FILTER,
            "few by metric, newest first": {"filter": "metrics.loss < 0.001", "max_results": 100},
            "ordered by metric, any": {"order_by": ["metrics.loss DESC"], "max_results": 100},
            "newest 100": {"max_results": 100},
            "by param only, newest first": {"filter": "params.depth = '3'", "max_results": 100},
        }.items():
            times, _ = repeat(search(self.connection, self.searched, **more), 300, 10)
            self.row(f"{runs:,} runs, {name}, p50 (ms)", low(times))
            self.row(f"{runs:,} runs, {name}, p99 (ms)", high(times))
        self.run = self.connection.new_run(self.experiment)
        times, took = repeat(log_batch(self.connection, self.experiment, 1, 1000, self.run), points // 1000, 300)
        self.row(f"history of {points:,} points, written (points/s)", len(times) * 1000 / took)
        path = f"{API}/metrics/get-history?run_id={self.run}&metric_key=m0&max_results=25000"
        for name, token in {"first": None, "last": f"{points - 25001}.{1 << 62}.0"}.items():
            if token is None:
                request = self.connection.head("GET", path)
                token = json.loads(self.connection.send(request))["next_page_token"]
            else:
                request = self.connection.head("GET", f"{path}&page_token={token}")
            times, _ = repeat(lambda n: self.connection.send(request), 100, 10)
            self.row(f"the {name} page of it, p99 (ms)", high(times))
        wide = self.new_experiment("wide")
        for _ in range(100):
            run = self.connection.new_run(wide)
            metrics = [{"key": f"m{n}", "value": n, "timestamp": 1, "step": 0} for n in range(1000)]
            self.connection.ask("/runs/log-batch", {"run_id": run, "metrics": metrics})
        times, _ = repeat(search(self.connection, wide, max_results=100), 20, 20)
        self.row("100 runs with 1,000 metrics each, p50 (ms)", low(times))
        run = self.connection.new_run(self.experiment)
        self.large(f"{ARTIFACTS}/{self.experiment}/{run}/artifacts", 5120)
        self.row("memory after all this (MiB)", memory(self.pid))


def floor():
    """What the machine gives: (name, value)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            taken, _ = server.accept()
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while taken.recv(65_536):
                taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        process = FORK.Process(target=serve, daemon=True)
        process.start()
        connection = Connection(f"http://127.0.0.1:{server.getsockname()[1]}")
        request = connection.post("/runs/log-metric", b'{"run_id":"0","key":"loss","value":0.5,"timestamp":1,"step":1}')
        times, took = repeat(lambda n: connection.send(request), 20_000, 3)
        connection.close()
        process.terminate()
    yield "HTTP over loopback, 1 client (/s)", len(times) / took
    with tempfile.TemporaryDirectory(dir=".") as folder:
        page, file = os.urandom(16_480), os.open(f"{folder}/synced", os.O_RDWR | os.O_CREAT)
        for name, place in {"appended": lambda n: n, "written over": lambda n: n % 100}.items():
            def write(n):
                os.pwrite(file, page, place(n) * len(page))
                os.fdatasync(file)
            times, _ = repeat(write, 400, 5)
            yield f"16 KB synced, {name}, p50 (ms)", low(times)
        base = sqlite3.connect(f"{folder}/bare.db", isolation_level=None)
        base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                           "CREATE TABLE t(a, b, c, d, e, PRIMARY KEY(a, b, c, d, e)) WITHOUT ROWID")

        def insert(n):
            base.execute("BEGIN")
            base.executemany("INSERT INTO t VALUES(1, ?, ?, ?, ?)",
                             [(k % 10, n * 1000 + k, 1_700_000_000_000 + k, k * 77_777_777) for k in range(1000)])
            base.execute("COMMIT")
        times, took = repeat(insert, 200, 5)
        yield "SQLite alone, 1,000 rows a commit (rows/s)", len(times) * 1000 / took


def servers(args):
    """Name → command, with {port} and {folder}."""
    aml = pathlib.Path(args.binary).resolve()
    found = {"aml": f"env AML_HOME={{folder}} AML_CONFIG={{folder}}/config.toml {aml} serve --port {{port}}"}
    if args.peers:
        for name in ("mlflow", "fasttrackml"):
            if args.install and not (args.peers / name).exists():
                subprocess.run([sys.executable, "-m", "venv", args.peers / name], check=True)
                subprocess.run([args.peers / name / "bin/pip", "install", "-q", name], check=True)
        programs = args.peers.resolve()
        found["fasttrackml"] = (f"{programs}/fasttrackml/bin/fml server --listen-address 127.0.0.1:{{port}} "
                                "--database-uri sqlite://{folder}/fml.db --default-artifact-root {folder}/artifacts")
        found["mlflow"] = (f"env PATH={programs}/mlflow/bin:{os.environ['PATH']} {programs}/mlflow/bin/mlflow server "
                           "--host 127.0.0.1 --port {port} --backend-store-uri sqlite:///{folder}/mlflow.db "
                           "--artifacts-destination {folder}/artifacts")
    return {name: command for name, command in found.items() if not args.only or name in args.only}


def wait_until_it_answers(process, url, begun):
    connection = Connection(url)
    request = connection.head("GET", f"{API}/experiments/get?experiment_id=0")
    while time.time() - begun < 120:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with status {process.returncode}")
        try:
            connection.send(request)
            return time.time() - begun
        except (OSError, RuntimeError):
            connection.close()
            time.sleep(.002)
    raise SystemExit("the server does not answer")


def measure(name, command, args):
    print(f"== {name}", file=sys.stderr)
    folder = tempfile.mkdtemp(prefix="aml-bench-", dir=".")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, begun = f"http://127.0.0.1:{port}", time.time()
    words = shlex.split(command.format(port=port, folder=os.path.abspath(folder)))
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with open(f"{folder}/server.log", "wb") as log:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        ready = wait_until_it_answers(process, url, begun)
        # Its other processes may still come up.
        used, still = cpu(process.pid), 0
        while still < 3 and time.time() - begun < 120:
            time.sleep(.5)
            used, before = cpu(process.pid), used
            still = still + 1 if used - before < .04 else 0
        bench = Bench(url, process.pid, args.quick, args.patience)
        bench.row("start to first answer (ms)", ready * 1e3)
        if args.scale and name == "aml":
            bench.scale()
            return bench.rows
        return bench.all()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def show(value):
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(results):
    names = list(dict.fromkeys(row for rows in results.values() for row in rows))
    lines = [["", *results]] + [[name, *(show(rows.get(name)) for rows in results.values())] for name in names]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = ["| " + " | ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                              for column, (cell, width) in enumerate(zip(line, widths))) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if column == 0 else ":") for column, width in enumerate(widths)) + "|"
    return "\n".join([text[0], rule, *text[1:]])


TITLES = {"aml": "AMLite", "fasttrackml": "FastTrackML", "mlflow": "MLflow"}
HTTP, OVER, APPENDED = "HTTP over loopback, 1 client (/s)", "16 KB synced, written over, p50 (ms)", "16 KB synced, appended, p50 (ms)"
ROWS = "SQLite alone, 1,000 rows a commit (rows/s)"


def limits(rows, floors):
    """(row, measured, floor, what it is made of, how many times the floor) of all rows that have one."""
    call, over, appended = 1e3 / floors[HTTP], floors[OVER], floors[APPENDED]
    for name, floor, made in [
        ("runs/create, 1 client (/s)", call + over, "HTTP + sync"),
        ("log-metric, 1 client (/s)", call + over, "HTTP + sync"),
        (f"log-metric, {CLIENTS} clients (/s)", call, "HTTP"),
        ("training, 1 client (calls/s)", call + over, "HTTP + sync"),
        (f"training, {CLIENTS} clients (calls/s)", call, "HTTP"),
        ("2 calls a run, 4 clients (runs/s)", 2 * call, "2 HTTP"),
        (f"the same, {CLIENTS} clients (/s)", call, "HTTP"),
        ("artifact of 10 KB, put (/s)", call + appended + over, "HTTP + 2 syncs"),
        ("artifact of 10 KB, get (/s)", call, "HTTP"),
        ("log-batch of 1,000 (points/s)", 1e3 / floors[ROWS], "SQLite's inserts"),
        ("history of 1 metric, written (points/s)", 1e3 / floors[ROWS], "SQLite's inserts"),
    ]:
        if name in rows:
            yield name, rows[name], 1e3 / floor, made, 1e3 / floor / rows[name]
    for name in ("search by metric and param, ordered, p50 (ms)", "newest 100 runs, p50 (ms)",
                 "history, a page of 25,000, p50 (ms)", "history, 320 points for a chart, p50 (ms)"):
        if name in rows:
            yield name, rows[name], call, "HTTP", rows[name] / call


def machine():
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    kind = subprocess.run(["stat", "-f", "-c", "%T", "."], capture_output=True, text=True).stdout.strip()
    return f"{os.cpu_count()} cores, {total / (1 << 20):.0f} GiB of memory, {kind} on disk"


def documents(found, scale):
    """The parts of a document, by the names of their comments."""
    floors = found["floor"]
    results = {TITLES.get(name, name): rows for name, rows in found["servers"].items()}
    if scale:
        return {"scale": table(results)}
    floor = table({"": floors})
    distance = [["", "AMLite", "floor", "made of", "times"]] + [
        [name, show(value), show(least), made, f"{times:.1f}"]
        for name, value, least, made, times in limits(found["servers"]["aml"], floors)]
    distance = "\n".join("| " + " | ".join(line) + " |" for line in [distance[0], ["---", "---:", "---:", "---", "---:"], *distance[1:]])
    return {"machine": found["machine"] + ".", "tracking": table(results), "floor": floor, "distance": distance}


def write_documents(path, parts):
    text = path.read_text()
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        if not found or end not in rest:
            raise SystemExit(f"{path} has no place for `{name}`")
        text = before + begin + part + end + rest.partition(end)[2]
    path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/aml")
    parser.add_argument("--peers", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--install", action="store_true", help="make the environments in DIR that are not there")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of aml, fasttrackml, mlflow")
    parser.add_argument("--quick", action="store_true", help="a quarter of the time, a tenth of the data")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait in all for an idle machine")
    parser.add_argument("--scale", action="store_true", help="aml with 100,000 runs and the like, instead of the table")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--docs", type=pathlib.Path, help="put the tables into this document")
    parser.add_argument("--from", type=pathlib.Path, dest="earlier", help="what an earlier run kept by --json")
    args = parser.parse_args()
    if args.earlier:
        found = json.loads(args.earlier.read_text())
        if args.docs:
            write_documents(args.docs, documents(found, found["scale"]))
        print(table(found["servers"]))
        return
    wait_for_calm(None, args.patience)
    floors = dict(floor())
    for name, value in floors.items():
        print(f"  {name:44}{value:12.2f}", file=sys.stderr)
    results = {name: measure(name, command, args) for name, command in servers(args).items()}
    found = {"machine": machine(), "scale": args.scale, "floor": floors, "servers": results}
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if args.docs:
        write_documents(args.docs, documents(found, args.scale))
    print("\n".join(f"{name}: {show(value)}" for name, value in floors.items()) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
