#!/usr/bin/env python3
"""Does to an endpoint what happens in the end, and counts what is lost.

Usage: benches/endpoint_faults.py [--binary target/release/aml] [--seconds 60] [--connections 10000]

Kills scoring processes under load, holds thousands of connections open, sends slowly and reads slowly,
hangs, leaks, exits, prints gigabytes, deletes the model's folder, restarts the server, and asks at full
speed for a while with an eye on memory and descriptors. Ends with an error when something is lost that
must not be.
"""

import argparse
import asyncio
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

parser = argparse.ArgumentParser()
parser.add_argument("--binary", default="target/release/aml")
parser.add_argument("--seconds", type=float, default=60)
parser.add_argument("--connections", type=int, default=10_000)
args = parser.parse_args()

AML = str(pathlib.Path(args.binary).resolve())
ROOT = pathlib.Path(tempfile.mkdtemp(prefix="aml-faults-"))
STATE = ROOT / "state"
ENV = {**os.environ, "AML_HOME": str(STATE), "AML_CONFIG": str(ROOT / "config.toml")}
SCRIPT = """
import json, os, sys, time

kept = []

def init():
    pass

def run(raw_data):
    asked = json.loads(raw_data)
    if asked == "exit":
        os._exit(3)
    if asked == "print":
        line = "x" * 1023 + "\\n"
        for _ in range(1 << 20):
            sys.stdout.write(line)
        return "printed"
    if asked == "long":
        return "y" * (64 << 20)
    if asked == "hang":
        time.sleep(3600)
    if asked == "leak":
        kept.append(bytearray(os.urandom(1 << 20) * 256))
    return {"ok": True}
"""
HANGS = """
name: hangs
endpoint_name: faults
model: azureml:m:1
code_configuration: {code: ., scoring_script: score.py}
request_settings: {request_timeout_ms: 2000, max_concurrent_requests_per_instance: 1}
liveness_probe: {initial_delay: 1, period: 1, timeout: 1, failure_threshold: 3}
instance_type: Standard_DS3_v2
instance_count: 1
"""
failures = []
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def aml(*words):
    done = subprocess.run([AML, *words], env=ENV, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"aml {words}: {done.stderr}")
    return done.stdout


def expect(what, true):
    print(f"{'ok    ' if true else 'FAILED'} {what}", flush=True)
    if not true:
        failures.append(what)


def processes(word):
    """Processes of this state directory, by a word of their command line."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environ = (folder / "environ").read_bytes()
        except OSError:
            continue
        if word in line and (str(STATE) in line or str(STATE).encode() in environ):
            found.append((int(folder.name), line))
    return found


def scoring():
    """The instances: of each its first process, and those that it has forked."""
    pids = [pid for pid, line in processes("serve.py") if "endpoint-watch" not in line]
    parents = {}
    for pid in pids:
        try:
            parents[pid] = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass  # ended meanwhile
    return [
        [pid, *(child for child, parent in parents.items() if parent == pid)]
        for pid in parents
        if parents[pid] not in parents
    ]


def ask(document='"x"', timeout=60, deployment=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if deployment:
            headers["azureml-model-deployment"] = deployment
        connection.request("POST", "/score", document, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def load(seconds, clients, meanwhile=lambda end: None):
    """Asks with so many clients on kept connections; the counts of statuses, the broken requests, and what
    was done meanwhile."""
    counts, broken, lock = {}, [], threading.Lock()
    end = time.monotonic() + seconds

    def client():
        connection = None
        while time.monotonic() < end:
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
                connection.request("POST", "/score", '"x"', headers)
                answer = connection.getresponse()
                answer.read()
                with lock:
                    counts[answer.status] = counts.get(answer.status, 0) + 1
            except OSError as error:
                connection = None
                with lock:
                    broken.append(repr(error))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    done = meanwhile(end)
    for thread in threads:
        thread.join()
    return counts, broken, done


def killing(every, processes):
    """Kills one of so many processes again and again; how often."""

    def kill(end):
        killed = 0
        while time.monotonic() < end - 3:
            time.sleep(every)
            alive = scoring()
            if len(alive) == processes:
                for pid in alive[killed % processes]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass  # it went with the one before
                killed += 1
        if not killed:
            expect("processes were killed", False)
        return killed

    return kill


def host():
    [(pid, _)] = processes("endpoint-host")
    return pid


def resources(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    kib = int(status.split("VmRSS:")[1].split()[0])
    return kib // 1024, len(os.listdir(f"/proc/{pid}/fd"))


async def many(count):
    """Opens so many connections, asks on each, twice, and holds them meanwhile."""
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 3\r\n\r\n\"x\""
    gate = asyncio.Semaphore(64)
    opened = []

    async def once(reader, writer):
        async with gate:
            writer.write(head.encode())
            await writer.drain()
            begin = await reader.readuntil(b"\r\n\r\n")
            length = int(begin.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            return begin.startswith(b"HTTP/1.1 200")

    async def open_one():
        async with gate:
            opened.append(await asyncio.open_connection("127.0.0.1", port))

    await asyncio.gather(*(open_one() for _ in range(count)))
    # A few of them, while all are open.
    some = opened[:: max(1, count // 500)]
    good = [await once(*pair) for pair in some] + [await once(*pair) for pair in some]
    memory, files = resources(host())
    for _, writer in opened:
        writer.close()
    return all(good), memory, files


server = None
try:
    (ROOT / "model").mkdir()
    (ROOT / "model" / "weights.txt").write_text("1")
    (ROOT / "score.py").write_text(SCRIPT)
    server = subprocess.Popen([AML, "serve", "--port", "0"], env=ENV, cwd=ROOT, stderr=subprocess.DEVNULL)
    time.sleep(1)
    aml("workspace", "create", "-n", "faults")
    aml("model", "register", "-n", "m", "--path", "model")
    begun = time.monotonic()
    deploy = ("deploy", "m:1", "--name", "faults", "--script", "score.py", "--instances")
    endpoint = json.loads(aml(*deploy, "1"))
    print(f"deployed in {time.monotonic() - begun:.1f} s, the environment built")
    key = json.loads(aml("endpoint", "keys", "faults"))["primary"]
    port = urllib.parse.urlparse(endpoint["scoring_uri"]).port

    counts, broken, killed = load(15, 16, killing(5, 1))
    lost = sum(counts.values()) - counts.get(200, 0) + len(broken)
    print(f"       {counts}, {len(broken)} broken, {killed} processes killed")
    expect(f"one process, killed again and again: {lost} are lost of those inside it", lost <= 16 * killed)

    counts, broken, _ = load(10, 16, lambda end: aml(*deploy, "2"))
    print(f"       {counts}, {len(broken)} broken")
    expect("an update under load: nothing is lost", set(counts) == {200} and not broken)

    counts, broken, killed = load(15, 16, killing(2, 2))
    print(f"       {counts}, {len(broken)} broken, {killed} processes killed")
    expect("two processes, one killed again and again: nothing is lost", set(counts) == {200} and not broken)

    status, _ = ask('"exit"')
    expect(f"a script that exits loses its own request ({status})", status in (502, 503))
    time.sleep(3)
    expect("and the others are answered", ask()[0] == 200)

    (ROOT / "hangs.yml").write_text(HANGS)
    aml("deployment", "create", "-f", "hangs.yml", "-e", "faults", "-n", "hangs")
    begun = time.monotonic()
    status, _ = ask('"hang"', deployment="hangs")
    expect(f"a script that hangs is answered {status} after {time.monotonic() - begun:.1f} s", status == 408)
    while (status := ask(deployment="hangs")[0]) != 200 and time.monotonic() - begun < 60:
        time.sleep(0.1)
    expect(f"and its process is another one after {time.monotonic() - begun:.1f} s", status == 200)

    before = resources(host())
    for _ in range(4):
        ask('"leak"', deployment="hangs")
    memory = 0
    begun = time.monotonic()
    while memory < 1 << 30 and time.monotonic() - begun < 30:
        time.sleep(1)
        shown = json.loads(aml("endpoint", "metrics", "faults", "-d", "hangs"))
        memory = max([memory, shown["deployments"][0]["total"]["memory"]])
    grown = resources(host())[0] - before[0]
    expect(f"a script that leaks is seen to have {memory >> 20} MiB, the host {grown} more", memory >= 1 << 30 and grown < 20)
    aml("deployment", "delete", "faults", "hangs", "--yes")

    status, _ = ask('"print"', 600)
    time.sleep(5)
    log = sum(path.stat().st_size for path in STATE.glob("endpoints/*/*.log*"))
    expect(f"a script that prints a gigabyte leaves {log >> 20} MiB of log", status == 200 and log < 200 << 20)

    for folder in STATE.glob("endpoints/*/g*/azureml-models"):
        shutil.rmtree(folder)
    expect("with the model's folder deleted it answers", ask()[0] == 200)

    slow = []
    for _ in range(200):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key.encode())
        slow.append(connection)
    reading = socket.create_connection(("127.0.0.1", port))
    body = b'"long"'
    reading.sendall(
        b"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key.encode()
        + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    times = []
    for _ in range(50):
        begun = time.monotonic()
        assert ask()[0] == 200
        times.append(time.monotonic() - begun)
    expect(f"beside slow callers others wait {max(times) * 1e3:.0f} ms at most", max(times) < 1)
    for connection in [*slow, reading]:
        connection.close()

    good, memory, files = asyncio.run(many(args.connections))
    expect(f"{args.connections} connections are open: {memory} MiB, {files} descriptors", good)

    time.sleep(2)
    load(5, 16)
    before = resources(host())
    counts, broken, _ = load(args.seconds, 16)
    time.sleep(2)
    after = resources(host())
    print(f"       {sum(counts.values())} requests; memory and descriptors {before} before, {after} after")
    grown = after[0] - before[0] > 20 or after[1] - before[1] > 20
    expect("at full speed nothing grows", not grown and set(counts) == {200} and not broken)

    server.kill()
    server.wait()
    for word in ("endpoint-host", "endpoint-watch", "serve.py"):
        for pid, _ in processes(word):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    server = subprocess.Popen([AML, "serve", "--port", "0"], env=ENV, cwd=ROOT, stderr=subprocess.DEVNULL)
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        try:
            if ask()[0] == 200:
                break
        except OSError:
            pass
        time.sleep(0.1)
    expect(f"after all was killed the server brings it back ({time.monotonic() - begun:.1f} s)", ask()[0] == 200)
finally:
    subprocess.run([AML, "workspace", "delete", "-n", "faults", "--yes"], env=ENV, cwd=ROOT, capture_output=True)
    if server is not None:
        server.terminate()
        server.wait()
    shutil.rmtree(ROOT, ignore_errors=True)
raise SystemExit(1 if failures else 0)
