"""pytest plugin: runs MLflow's own REST tests against a server that is not MLflow's.

MLflow's tests start a server for every test through two names of
`tests/tracking/integration_test_utils.py`: the class `ServerThread(app, port)` and the context manager
`_init_server(...)`. Both are replaced before any test module is imported, so that no test file has to
be changed. `handlers.initialize_backend_stores` does nothing, because the store in this process is not
the one under test.

MLFLOW_SUITE_CMD   the command of the server, with {port} and {dir} (an empty folder); a fresh server for
                   every test, ended after it
MLFLOW_SUITE_ROOT  options to add for the few tests that ask for a server whose clients write artifacts
                   by themselves below {root}
MLFLOW_SUITE_JSON  file for the outcome of every test that used a server

Tests that use no server test Python code in this process and are not counted.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import mlflow
import pytest
import requests

COMMAND = os.environ["MLFLOW_SUITE_CMD"]
ROOT_OPTIONS = os.environ["MLFLOW_SUITE_ROOT"]
OUTCOMES = os.environ["MLFLOW_SUITE_JSON"]
# They look at the folder, or take the scheme `file:` off an address. All others run with artifacts
# that the server keeps.
CLIENTS_WRITE = (
    "::test_artifacts[",
    "::test_create_model_version_with_file_uri",
    "::test_create_model_version_with_path_source",
)
root_asked_for = None
START_SECONDS = 60
servers_started = 0
outcomes = {}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(url, process):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}")
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/health", timeout=2).status_code == 200:
                return
        time.sleep(0.01)
    raise RuntimeError(f"nothing answers at {url}")


@contextlib.contextmanager
def server(extra_env=None):
    global servers_started
    servers_started += 1
    folder = tempfile.mkdtemp(prefix="mlflow-suite-")
    port = free_port()
    command = COMMAND.replace("{port}", str(port)).replace("{dir}", folder)
    if root_asked_for:
        command += " " + ROOT_OPTIONS.replace("{root}", root_asked_for)
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    env.update({name: str(value) for name, value in (extra_env or {}).items()})
    with open(os.path.join(folder, "server.log"), "wb") as log:
        process = subprocess.Popen(
            shlex.split(command), env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process)
        yield url
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
                break
        shutil.rmtree(folder, ignore_errors=True)


class ExternalServer:
    """Stands in for `ServerThread(app, port)`."""

    def __init__(self, *_args, **_kwargs):
        self.running = None

    def __enter__(self):
        self.running = server()
        url = self.running.__enter__()
        # Upstream the default tracking URI is the very database behind the server, so some tests
        # reach it without the client they are given.
        mlflow.set_tracking_uri(url)
        return url

    def __exit__(self, *exc):
        return self.running.__exit__(*exc)


@contextlib.contextmanager
def init_server(backend_uri=None, root_artifact_uri=None, extra_env=None, *_args, **_kwargs):
    with server(extra_env) as url:
        yield url


def pytest_configure(config):
    # Upstream's default waits for minutes on a server that answers with an error.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    sys.path.insert(0, str(config.rootpath))
    import mlflow.server.handlers as handlers
    import tests.tracking.integration_test_utils as utils

    utils.ServerThread = ExternalServer
    utils._init_server = init_server
    handlers.initialize_backend_stores = note_root


def note_root(_backend_uri=None, default_artifact_root=None, *_args, **_kwargs):
    """The store in this process is not the one under test, but where it would keep artifacts counts."""
    global root_asked_for
    current = os.environ.get("PYTEST_CURRENT_TEST", "")
    wanted = any(name in current for name in CLIENTS_WRITE)
    root_asked_for = default_artifact_root if wanted else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    known = outcomes.setdefault(item.nodeid, {"outcome": "passed", "server": False})
    if known["outcome"] == "passed" and report.outcome != "passed":
        known["outcome"] = "xfailed" if hasattr(report, "wasxfail") else report.outcome
        known["why"] = str(getattr(call.excinfo, "value", ""))[:500]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    before = servers_started
    result = yield
    if item.nodeid in outcomes:
        outcomes[item.nodeid]["server"] = servers_started > before
    return result


def pytest_terminal_summary(terminalreporter):
    bound = {name: found for name, found in outcomes.items() if found["server"]}
    passed = sum(found["outcome"] == "passed" for found in bound.values())
    terminalreporter.write_line(f"{passed} of {len(bound)} tests that used the server passed")
    with open(OUTCOMES, "w") as file:
        json.dump(bound, file, indent=1, sort_keys=True)
