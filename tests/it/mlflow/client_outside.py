"""Trains twice and logs it with MLflow's client, from wherever it is started."""

import tempfile

import joblib
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

features, labels = load_iris(return_X_y=True)
mlflow.set_experiment("outside")
for strength in [0.01, 1.0]:
    with mlflow.start_run(run_name=f"C={strength}"):
        model = LogisticRegression(C=strength, max_iter=1000).fit(features, labels)
        mlflow.log_param("C", strength)
        for step in range(3):
            mlflow.log_metric("accuracy", model.score(features, labels) - 0.1 * (2 - step), step=step)
        with tempfile.TemporaryDirectory() as folder:
            joblib.dump(model, f"{folder}/model.joblib")
            mlflow.log_artifacts(folder, "model")

found = mlflow.search_runs(experiment_names=["submitted"], output_format="list")
assert [run.data.params for run in found] == [{"C": "2"}], found
files = [file.path for file in mlflow.MlflowClient().list_artifacts(found[0].info.run_id, "outputs")]
assert files == ["outputs/file"], files
