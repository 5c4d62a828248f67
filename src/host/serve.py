"""Starts the official scoring server on a socket that only the endpoint's front can reach.

The server itself listens on every address of the machine, where nothing would ask for the key.
"""

import sys

from azureml_inference_server_http import constants
from gunicorn.config import KNOWN_SETTINGS

constants.DEFAULT_HOST = "unix:" + sys.argv.pop(1)

# Two servers of one user would fight over a socket that nothing here uses; older ones have none.
for setting in KNOWN_SETTINGS:
    if setting.name == "control_socket_disable":
        setting.default = True

from azureml_inference_server_http.amlserver import run  # noqa: E402

run()
