#!/usr/bin/env python3
"""Many clients at once for minutes, and what is there afterwards.

Usage: benches/load.py [--binary target/release/aml] [--clients 200] [--seconds 150] [--kills 0]

Each client keeps its connection and logs to runs of its own: single metrics, batches of 50 points, a new
run now and then, a search now and then. With --kills the server is killed so many times at random moments
and started again; clients go on when it is back, and what was not acknowledged they send again. At the
end every acknowledged point must be there, and none may have been refused.
"""

import argparse
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tracking import API, Connection, FORK, memory, now

PROCESSES = 4
BATCH = 50


class Client:
    """Sends until it is answered; remembers what was acknowledged."""

    def __init__(self, url, experiment, end):
        self.connection, self.experiment, self.end = Connection(url), experiment, end
        self.calls, self.refused, self.slowest, self.points = 0, [], 0, {}

    def send(self, path, body, patient=True):
        request = self.connection.post(path, body)
        while True:
            begun = time.monotonic()
            try:
                answer = self.connection.send(request)
                self.calls += 1
                self.slowest = max(self.slowest, time.monotonic() - begun)
                return answer
            except (ConnectionError, OSError, socket.timeout):
                self.connection.close()
                time.sleep(.05)
                if not patient:
                    return None
            except RuntimeError as error:
                self.refused.append(str(error)[:200])
                return None

    def run(self, seed):
        chance, run, step = random.Random(seed), None, 0
        while time.monotonic() < self.end:
            if run is None or chance.random() < .01:
                run, step = self.new_run(), 0
            if chance.random() < .02:
                self.send("/runs/search", {"experiment_ids": [self.experiment], "max_results": 5,
                                           "filter": "metrics.m > 0.5", "order_by": ["metrics.m DESC"]})
            count = BATCH if chance.random() < .5 else 1
            points = [{"key": "m", "value": chance.random(), "timestamp": now(), "step": step + n}
                      for n in range(count)]
            # The same points again are the same set.
            if self.send("/runs/log-batch", {"run_id": run, "metrics": points}) is not None:
                self.points[run] = self.points.get(run, 0) + count
            step += count

    def new_run(self):
        while True:
            try:
                return self.connection.new_run(self.experiment)
            except (ConnectionError, OSError, RuntimeError):
                self.connection.close()
                time.sleep(.05)


def some_clients(url, experiment, count, seconds, first, out):
    clients = [Client(url, experiment, time.monotonic() + seconds) for _ in range(count)]
    threads = [threading.Thread(target=client.run, args=(first + n,)) for n, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.put([(client.calls, client.refused, client.slowest, client.points) for client in clients])


def serve(binary, folder, port):
    env = {**os.environ, "AML_HOME": f"{folder}/state", "AML_CONFIG": f"{folder}/config.toml"}
    with open(f"{folder}/log", "ab") as log:
        server = subprocess.Popen([binary, "serve", "--port", str(port)], env=env, stdout=log, stderr=log)
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server
        except OSError:
            time.sleep(.05)
    sys.exit("the server does not start")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/aml")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=150)
    parser.add_argument("--kills", type=int, default=0)
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        server = serve(options.binary, folder, port)
        try:
            experiment = Connection(url).ask("/experiments/create", {"name": "load"})["experiment_id"]
            out, share = FORK.Queue(), options.clients // PROCESSES
            workers = [FORK.Process(target=some_clients, args=(url, experiment, share, options.seconds, n * share, out))
                       for n in range(PROCESSES)]
            before = memory(server.pid)
            for worker in workers:
                worker.start()
            moments = sorted(random.uniform(1, options.seconds - 1) for _ in range(options.kills))
            begun = time.monotonic()
            for moment in moments:
                time.sleep(max(0, moment - (time.monotonic() - begun)))
                server.kill()
                server.wait()
                server = serve(options.binary, folder, port)
            found = [client for _ in workers for client in out.get(timeout=options.seconds + 120)]
            for worker in workers:
                worker.join()
            after = memory(server.pid)
            check(url, found, options.seconds, (before, after))
        finally:
            server.kill()
            server.wait()


def check(url, found, seconds, memories):
    connection = Connection(url)
    lost = runs = points = 0
    for _, _, _, logged in found:
        for run, count in logged.items():
            path = f"{API}/metrics/get-history?run_id={run}&metric_key=m"
            stored = connection.send(connection.head("GET", path)).count(b'"step"')
            runs, points, lost = runs + 1, points + count, lost + max(0, count - stored)
    refused = [text for _, texts, _, _ in found for text in texts]
    calls = sum(calls for calls, _, _, _ in found)
    print(f"{calls:,} calls, {calls / seconds:,.0f} a second; the slowest took {max(s for _, _, s, _ in found):.2f} s")
    print(f"{points:,} points of {runs:,} runs were acknowledged, {lost} are lost; {len(refused)} calls were refused")
    print("memory of the server: {:.0f} MiB before, {:.0f} MiB after".format(*memories))
    for text in refused[:5]:
        print(" ", text)
    sys.exit(bool(lost or refused))


if __name__ == "__main__":
    main()
