"""Trains a classifier on the iris flowers and logs how good it is."""

import argparse
import pathlib

import joblib
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--C", type=float, default=1.0, help="inverse strength of the regularisation")
args = parser.parse_args()

X, y = load_iris(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=1, stratify=y)

# The tracking server and the run come from the environment that `aml` sets.
mlflow.log_param("C", args.C)

model = LogisticRegression(C=args.C, max_iter=1000).fit(X_train, y_train)
accuracy = accuracy_score(y_test, model.predict(X_test))
loss = log_loss(y_test, model.predict_proba(X_test))
mlflow.log_metrics({"accuracy": accuracy, "log_loss": loss})
print(f"C={args.C}: accuracy {accuracy:.4f}, log loss {loss:.4f}")

# Everything below outputs/ is kept with the run.
folder = pathlib.Path("outputs/model")
folder.mkdir(parents=True, exist_ok=True)
joblib.dump(model, folder / "model.joblib")
