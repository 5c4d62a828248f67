"""What MLflow's client may do with the credentials in its environment. Usage: client_roles.py ROLE RUN"""

import sys

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

role, run = sys.argv[1:]
client = MlflowClient()


def try_all():
    def write():
        client.log_metric(run, "loss", 0.5)
        mlflow.set_experiment("roles")
        with mlflow.start_run():
            mlflow.log_param("by", role)
            mlflow.log_text("hello", "notes.txt")

    def register():
        try:
            client.create_registered_model(f"model-of-{role}")
        finally:
            # The experiment that a client is in outlives a failure.
            mlflow.end_run()

    calls = {
        "read": lambda: client.get_run(run),
        "search": lambda: client.search_runs(["0"]),
        "write": write,
        "register": register,
        "delete": lambda: client.delete_run(run),
        "restore": lambda: client.restore_run(run),
    }
    for name, call in calls.items():
        try:
            call()
            print(f"{name}: yes")
        except MlflowException as error:
            print(f"{name}: {error.error_code}")


try_all()
