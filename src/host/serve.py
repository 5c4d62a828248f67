"""Starts the official scoring server on a socket that only the endpoint's front can reach.

The server itself listens on every address of the machine, where nothing would ask for the key.
"""

import logging
import mmap
import sys

from azureml_inference_server_http import constants
from flask import g, has_request_context
from gunicorn.config import KNOWN_SETTINGS
from gunicorn.errors import HaltServer

constants.DEFAULT_HOST = "unix:" + sys.argv.pop(1)

# Which workers have come up, seen by them and by who watches over them.
up = mmap.mmap(-1, mmap.PAGESIZE)


def came_up(worker):
    up[worker.age % len(up)] = 1


def ended(server, worker):
    """Gives up when a worker ended before it came up; the server would start it again and again.

    One that is stopping has let go of its sockets, and waits for its workers to end.
    """
    place = worker.age % len(up)
    was_up, up[place] = up[place], 0
    if not was_up and server.LISTENERS:
        raise HaltServer("It ended in the scoring script, before or in init()", 3)


# Two servers of one user would fight over a socket that nothing here uses; older ones have none.
DEFAULTS = {
    "control_socket_disable": True,
    "post_worker_init": staticmethod(came_up),
    "child_exit": staticmethod(ended),
}
for setting in KNOWN_SETTINGS:
    if setting.name in DEFAULTS:
        setting.default = DEFAULTS[setting.name]

# Only now: it copies the constants.
from azureml_inference_server_http import amlserver  # noqa: E402

# They tell of ports on which nothing listens.
amlserver.print_server_settings = amlserver.print_routes = lambda: None


def told_by_the_front(record):
    """Leaves out the lines about each request, of which the front writes one."""
    text = record.getMessage()
    return record.levelno != logging.INFO or not text.startswith(("POST /score", "GET /score"))


def with_request(record):
    """Says of an error which request it was."""
    if record.levelno >= logging.ERROR and has_request_context() and getattr(g, "request_id", ""):
        record.msg, record.args = f"Request {g.request_id}: {record.getMessage()}", None
    return True


logging.getLogger("gunicorn.access").addFilter(lambda record: False)
logging.getLogger("azmlinfsrv").addFilter(told_by_the_front)
logging.getLogger("azmlinfsrv").addFilter(with_request)

amlserver.run()
