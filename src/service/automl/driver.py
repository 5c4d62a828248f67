"""One trial of an AutoML job: trains a pipeline on a table, measures it and keeps it as an MLflow model.

The job is JSON in AML_AUTOML, in the words of Azure's YAML. What is tried is an algorithm with three knobs
between 0 and 1: how large a model is, how fast it learns and how much it is held back. In the middle they
mean what is usually good.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from importlib.metadata import version

import mlflow
import numpy as np
import pandas as pd
from sklearn import ensemble, linear_model, metrics, model_selection, naive_bayes, neighbors, svm, tree
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

# Where no way to validate is said: folds below so many rows, beyond them a part is held out.
FEW, MANY = 1000, 20000
HELD_OUT = 0.1
# Categories of a column, words of all texts.
CATEGORIES, WORDS = 100, 2000
# Where Azure's AutoML keeps the model of a trial among its artifacts.
KEPT = "outputs/mlflow-model"
# MLflow takes it out of the environment.
RUN = os.environ.get("MLFLOW_RUN_ID")
SEASONS = {"min": 60, "h": 24, "D": 7, "B": 5, "W": 52, "M": 12, "Q": 4, "Y": 1}
LAGS = "lag of the target {}"
NAIVE = ("naive", "seasonal_naive", "average", "seasonal_average")


# --- tables --------------------------------------------------------------------------------------


def read(path):
    """A table as its MLTable file says it, or any file of rows."""
    done = subprocess.run(["aml", "table-rows", path], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"The table cannot be read: {done.stderr.strip()}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    frame = pd.DataFrame(rows)
    for name in frame.columns:
        times = [isinstance(value, dict) for value in frame[name]]
        if any(times):
            frame[name] = pd.to_datetime([value["time"] if isinstance(value, dict) else None for value in frame[name]])
    return frame


def times(values):
    """Each as it is written; what is no time is none."""
    mixed = {"format": "mixed"} if int(pd.__version__.split(".")[0]) > 1 else {}
    return pd.to_datetime(values, errors="coerce", **mixed)


def looks_like_times(values):
    sample = values.dropna().astype(str).head(200)
    if sample.empty or not sample.str.match(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}").all():
        return False
    return times(sample).notna().all()


def kind_of(values):
    """What a column is where nobody says it; None leaves it out."""
    if values.nunique(dropna=True) < 2:
        return None
    if pd.api.types.is_bool_dtype(values):
        return "categorical"
    if pd.api.types.is_numeric_dtype(values):
        return "numeric"
    if pd.api.types.is_datetime64_any_dtype(values) or looks_like_times(values):
        return "datetime"
    texts = values.dropna().astype(str)
    if texts.str.count(" ").mean() > 3 and texts.nunique() > 20:
        return "text"
    # Of names that hardly ever come twice nothing is learned.
    return "categorical" if texts.nunique() <= max(20, len(texts) // 2) else None


def as_text(frame):
    frame = pd.DataFrame(frame).astype(object)
    return frame.where(frame.notna(), "missing").astype(str)


class Calendar(BaseEstimator, TransformerMixin):
    """Times as numbers from which seasons can be learned."""

    def fit(self, frame, target=None):
        return self

    def transform(self, frame):
        parts = []
        for name in frame.columns:
            at = times(frame[name]).dt
            parts += [at.year, at.quarter, at.month, at.day, at.dayofweek, at.dayofyear, at.hour, at.minute]
        return np.column_stack([np.nan_to_num(part.to_numpy(dtype=float), nan=-1) for part in parts])


def prepared(frame, order, algorithm):
    """How the columns of a table become what an algorithm takes."""
    settings = order.get("featurization") or {}
    asked = {name: kind.lower() for name, kind in (settings.get("column_name_and_types") or {}).items()}
    blocked = {name.lower().replace("_", "") for name in settings.get("blocked_transformers") or []}
    off = settings.get("mode") == "off"
    imputers = {}
    for name, transformers in (settings.get("transformer_params") or {}).items():
        for one in transformers if name.lower() == "imputer" else []:
            for field in one.get("fields") or []:
                imputers[field] = one.get("parameters") or {}
    groups = {}
    for name in frame.columns:
        kind = asked.get(name) or kind_of(frame[name])
        if kind is None or kind.startswith("ignore"):
            continue
        if off and kind != "numeric":
            sys.exit(f"The column {name} is no number, and with featurization off nothing makes it one")
        kind = "categorical" if kind.startswith("categorical") else kind
        alone = name if kind == "text" else None
        groups.setdefault((kind, json.dumps(imputers.get(name)), alone), []).append(name)
    if not groups:
        sys.exit("No column is left from which something could be learned")
    parts = []
    for (kind, imputer, _), names in groups.items():
        steps = steps_for(kind, json.loads(imputer) or {}, blocked, algorithm)
        if steps:
            parts.append((f"{kind} {len(parts)}", Pipeline(steps), names))
    dense = algorithm in ("lasso_lars",)
    return ColumnTransformer(parts, sparse_threshold=0 if dense else 0.3)


def steps_for(kind, imputer, blocked, algorithm):
    strategy = imputer.get("strategy", "mean").lower()
    fill = imputer.get("fill_value")
    linear = algorithm in ("logistic_regression", "sgd", "svm", "linear_svm", "knn", "elastic_net", "lasso_lars")
    if kind == "numeric":
        strategy = {"ffill": "median", "bfill": "median"}.get(strategy, strategy)
        steps = [
            ("number", FunctionTransformer(lambda part: pd.DataFrame(part).apply(pd.to_numeric, errors="coerce"))),
            ("fill", SimpleImputer(strategy=strategy, fill_value=fill if strategy == "constant" else None, keep_empty_features=True)),
        ]
        if linear:
            steps.append(("scale", StandardScaler()))
        elif algorithm == "multinomial_naive_bayes":
            steps.append(("scale", MinMaxScaler(clip=True)))
        return steps
    if kind == "datetime":
        return [("calendar", Calendar())] + ([("scale", StandardScaler())] if linear else [])
    if kind == "text":
        if "tfidf" in blocked:
            return []
        flat = FunctionTransformer(lambda part: as_text(part).to_numpy().ravel())
        return [("flat", flat), ("words", TfidfVectorizer(max_features=WORDS, sublinear_tf=True))]
    fills = [("fill", SimpleImputer(strategy="most_frequent"))] if strategy == "most_frequent" else []
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=CATEGORIES)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encode = ordinal if "onehotencoder" in blocked else one_hot
    return [*fills, ("text", FunctionTransformer(as_text)), ("encode", encode)]


# --- algorithms ----------------------------------------------------------------------------------


class Numbered(BaseEstimator, ClassifierMixin):
    """For classifiers that know classes by number only."""

    def __init__(self, model):
        self.model = model

    def fit(self, rows, target, **more):
        self.names = LabelEncoder().fit(target)
        self.classes_ = self.names.classes_
        self.fitted = clone(self.model).fit(rows, self.names.transform(target), **more)
        return self

    def predict(self, rows):
        return self.names.inverse_transform(self.fitted.predict(rows))

    def predict_proba(self, rows):
        return self.fitted.predict_proba(rows)


def algorithm_of(name, knobs, classifies, cores):
    """The algorithm as the knobs make it, and what they came to."""
    size, rate, penalty = knobs

    def between(low, high, at):
        return float(f"{math.exp(math.log(low) + at * (math.log(high) - math.log(low))):.4g}")

    def whole(low, high, at):
        return max(int(low), round(between(low, high, at)))

    trees = {"n_estimators": whole(25, 400, size), "min_samples_leaf": whole(1, 9, penalty), "n_jobs": cores, "random_state": 0}
    boosted = {"n_estimators": whole(25, 400, size), "learning_rate": between(0.02, 0.5, rate), "random_state": 0}
    strength = between(1e-3, 1e3, 1 - penalty)
    settings = {
        "light_gbm": {**boosted, "num_leaves": whole(8, 128, size), "min_child_samples": whole(5, 80, penalty), "n_jobs": cores, "verbose": -1},
        "gradient_boosting": {**boosted, "max_depth": whole(2, 5, size), "min_samples_leaf": whole(1, 36, penalty)},
        "random_forest": {**trees, "max_features": round(0.1 + 0.8 * rate, 3)},
        "extreme_random_trees": {**trees, "max_features": round(0.1 + 0.8 * rate, 3)},
        "decision_tree": {"max_depth": whole(2, 64, size), "min_samples_leaf": whole(1, 64, penalty), "random_state": 0},
        "knn": {"n_neighbors": whole(1, 64, penalty), "weights": "distance" if rate < 0.5 else "uniform", "n_jobs": cores},
        "logistic_regression": {"C": strength, "max_iter": 1000},
        "linear_svm": {"C": between(1e-3, 1e1, 1 - penalty), "dual": "auto", "max_iter": 5000},
        "svm": {"C": between(1e-2, 1e2, 1 - penalty), "probability": True, "random_state": 0},
        "sgd": {"alpha": between(1e-6, 1e-2, penalty), "max_iter": 2000, "early_stopping": True, "random_state": 0},
        "bernoulli_naive_bayes": {"alpha": between(1e-2, 1e2, penalty)},
        "multinomial_naive_bayes": {"alpha": between(1e-2, 1e2, penalty)},
        "elastic_net": {"alpha": between(1e-5, 1, penalty), "l1_ratio": round(0.05 + 0.9 * rate, 3), "max_iter": 5000},
        "lasso_lars": {"alpha": between(1e-6, 1e-1, penalty)},
    }
    xgboost = {**boosted, "max_depth": whole(3, 12, size), "min_child_weight": between(0.1, 10, penalty), "n_jobs": cores}
    settings |= {"xg_boost_classifier": xgboost, "xg_boost_regressor": xgboost}
    found = settings[name]
    if classifies and name == "sgd":
        found["loss"] = "log_loss"
    return build(name, found, classifies), found


def build(name, found, classifies):
    if name == "light_gbm":
        import lightgbm

        return (lightgbm.LGBMClassifier if classifies else lightgbm.LGBMRegressor)(**found)
    if name.startswith("xg_boost"):
        import xgboost

        return Numbered(xgboost.XGBClassifier(**found)) if classifies else xgboost.XGBRegressor(**found)
    if name == "linear_svm":
        return CalibratedClassifierCV(svm.LinearSVC(**found), cv=3)
    if classifies:
        return {
            "gradient_boosting": ensemble.GradientBoostingClassifier,
            "random_forest": ensemble.RandomForestClassifier,
            "extreme_random_trees": ensemble.ExtraTreesClassifier,
            "decision_tree": tree.DecisionTreeClassifier,
            "knn": neighbors.KNeighborsClassifier,
            "logistic_regression": linear_model.LogisticRegression,
            "svm": svm.SVC,
            "sgd": linear_model.SGDClassifier,
            "bernoulli_naive_bayes": naive_bayes.BernoulliNB,
            "multinomial_naive_bayes": naive_bayes.MultinomialNB,
        }[name](**found)
    model = {
        "gradient_boosting": ensemble.GradientBoostingRegressor,
        "random_forest": ensemble.RandomForestRegressor,
        "extreme_random_trees": ensemble.ExtraTreesRegressor,
        "decision_tree": tree.DecisionTreeRegressor,
        "knn": neighbors.KNeighborsRegressor,
        "elastic_net": linear_model.ElasticNet,
        "lasso_lars": linear_model.LassoLars,
        "sgd": linear_model.SGDRegressor,
    }[name](**found)
    if name in ("elastic_net", "lasso_lars", "sgd"):
        # What they are held back by is measured against the target.
        return TransformedTargetRegressor(model, transformer=StandardScaler())
    return model


# --- forecasts -----------------------------------------------------------------------------------


class Forecaster(BaseEstimator, RegressorMixin):
    """Predicts the times that follow those it was trained on, each from what went before. It takes tables
    with the columns of the training data."""

    def __init__(self, model, time, series, season, lags, window):
        self.model, self.time, self.series = model, time, series
        self.season, self.lags, self.window = season, lags, window

    def keys(self, rows):
        if not self.series:
            return [()] * len(rows)
        return list(map(tuple, as_text(rows[self.series]).to_numpy()))

    def seen(self, rows, past):
        """The rows with what was before each: `past` has the values by series up to them."""
        rows = rows.copy()
        for lag in self.lags:
            rows[LAGS.format(lag)] = [values[-lag] if len(values) >= lag else np.nan for values in past]
        if self.window:
            rows[LAGS.format("mean")] = [np.mean(values[-self.window :]) if values else np.nan for values in past]
        return rows

    def by_time(self, rows):
        at = times(rows[self.time]).to_numpy()
        order = np.argsort(at, kind="stable")
        starts = np.flatnonzero(np.r_[True, at[order][1:] != at[order][:-1]])
        return np.split(order, starts[1:]) if len(order) else []

    def fit(self, rows, target):
        target = np.asarray(target, dtype=float)
        keys = self.keys(rows)
        self.history = {}
        past = [None] * len(rows)
        for step in self.by_time(rows):
            for at in step:
                past[at] = list(self.history.get(keys[at], []))[-self.reach() :]
            for at in step:
                self.history.setdefault(keys[at], []).append(target[at])
        if not isinstance(self.model, str):
            self.fitted = clone(self.model).fit(self.seen(rows, past), target)
        return self

    def reach(self):
        return max([1, self.window or 0, *self.lags])

    def predict(self, rows):
        predicted = np.zeros(len(rows))
        if not (isinstance(self.model, str) or self.lags or self.window):
            return self.fitted.predict(rows)
        keys = self.keys(rows)
        history = {key: list(values) for key, values in self.history.items()}
        steps = {}
        for step in self.by_time(rows):
            if isinstance(self.model, str):
                for at in step:
                    nth = steps[keys[at]] = steps.get(keys[at], -1) + 1
                    predicted[at] = self.naive(self.history.get(keys[at]), nth)
                continue
            past = [history.get(keys[at], []) for at in step]
            predicted[step] = self.fitted.predict(self.seen(rows.iloc[step], past))
            for at in step:
                history.setdefault(keys[at], []).append(predicted[at])
        return predicted

    def naive(self, values, nth):
        if not values:
            values = [value for others in self.history.values() for value in others]
        season = self.season if "season" in self.model and len(values) >= self.season else 1
        same = values[-season + nth % season :: season] if season == 1 else values[(len(values) + nth) % season :: season]
        if self.model == "naive" or (self.model == "seasonal_naive" and not same):
            return values[-1]
        if self.model == "average":
            return float(np.mean(values))
        return same[-1] if self.model == "seasonal_naive" else float(np.mean(same or values))


def season_of(frame, settings):
    asked = settings.get("seasonality")
    if isinstance(asked, int):
        return max(1, asked)
    frequency = settings.get("frequency")
    if not frequency:
        at = times(frame[settings["time_column_name"]]).drop_duplicates().sort_values()
        days = at.diff().median() / pd.Timedelta(days=1)
        frequency = next((name for most, name in ((0.02, "min"), (0.5, "h"), (2, "D"), (10, "W"), (45, "M"), (200, "Q")) if days < most), "Y")
    name = frequency.lstrip("0123456789").split("-")[0]
    name = {"H": "h", "T": "min", "A": "Y", "MS": "M", "QS": "Q", "YS": "Y", "AS": "Y", "ME": "M", "QE": "Q", "YE": "Y"}.get(name, name)
    return SEASONS.get(name, 1)


def lags_of(settings, season):
    asked = settings.get("target_lags")
    if asked == "auto":
        return sorted({1, season})
    return sorted(set(asked if isinstance(asked, list) else [asked] if asked else []))


# --- how good it is ------------------------------------------------------------------------------


def scores(order, model, rows, target, weights, spread):
    predicted = model.predict(rows)
    if order["task"] != "classification":
        return of_numbers(np.asarray(target, dtype=float), np.asarray(predicted, dtype=float), weights, spread)
    classes, chances = model.classes_, model.predict_proba(rows)
    known = np.asarray(target)

    def one_against_rest(score):
        found = [(score(known == name, chances[:, nth]), np.sum(known == name)) for nth, name in enumerate(classes) if 0 < np.sum(known == name) < len(known)]
        return float(np.average([one for one, _ in found], weights=[count for _, count in found])) if found else math.nan

    chance = 1 / max(2, len(classes))
    recall = metrics.recall_score(known, predicted, average="macro", zero_division=0)
    return {
        "AUC_weighted": one_against_rest(metrics.roc_auc_score),
        "average_precision_score_weighted": one_against_rest(metrics.average_precision_score),
        "accuracy": metrics.accuracy_score(known, predicted, sample_weight=weights),
        "balanced_accuracy": recall,
        "norm_macro_recall": (recall - chance) / (1 - chance),
        "precision_score_weighted": metrics.precision_score(known, predicted, average="weighted", zero_division=0),
        "f1_score_weighted": metrics.f1_score(known, predicted, average="weighted", zero_division=0),
    }


def of_numbers(known, predicted, weights, spread):
    squared = math.sqrt(metrics.mean_squared_error(known, predicted, sample_weight=weights))
    absolute = metrics.mean_absolute_error(known, predicted, sample_weight=weights)
    ranked = pd.Series(known).rank().corr(pd.Series(predicted).rank()) if len(set(predicted)) > 1 else 0.0
    return {
        "root_mean_squared_error": squared,
        "normalized_root_mean_squared_error": squared / spread,
        "mean_absolute_error": absolute,
        "normalized_mean_absolute_error": absolute / spread,
        "r2_score": metrics.r2_score(known, predicted, sample_weight=weights) if len(known) > 1 else math.nan,
        "spearman_correlation": ranked,
    }


def folds(order, frame, target):
    """Pairs of rows: those to train on, those to measure with."""
    count = len(frame)
    if order["task"] == "forecasting":
        return of_times(order, frame)
    named = order.get("cv_split_column_names") or []
    if named:
        return [(np.flatnonzero(frame[name] == 1), np.flatnonzero(frame[name] == 0)) for name in named]
    classifies = order["task"] == "classification"
    size, asked = order.get("validation_data_size"), order.get("n_cross_validations")
    if not isinstance(asked, int) and (size or count > MANY):
        stratify = target if classifies and target.value_counts().min() > 1 else None
        split = model_selection.train_test_split(np.arange(count), test_size=size or HELD_OUT, random_state=0, stratify=stratify)
        return [tuple(split)]
    number = asked if isinstance(asked, int) else 10 if count < FEW else 3
    number = max(2, min(number, count))
    if classifies and target.value_counts().min() >= number:
        return list(model_selection.StratifiedKFold(number, shuffle=True, random_state=0).split(frame, target))
    return list(model_selection.KFold(number, shuffle=True, random_state=0).split(frame))


def of_times(order, frame):
    """The last times, again and again: what is measured with follows what was trained on."""
    settings = order["forecasting"]
    at = times(frame[settings["time_column_name"]]).to_numpy()
    known = np.unique(at)
    horizon = horizon_of(settings, len(known))
    asked = order.get("n_cross_validations")
    number = asked if isinstance(asked, int) else 3
    step = settings.get("cv_step_size") or horizon
    found = []
    for nth in range(max(1, number)):
        end = len(known) - nth * step
        begin = end - horizon
        if begin < max(2, horizon // 2):
            break
        found.append((np.flatnonzero(at < known[begin]), np.flatnonzero((at >= known[begin]) & (at <= known[end - 1]))))
    if not found:
        sys.exit(f"With {len(known)} times there are too few to measure forecasts of {horizon}")
    return found


def horizon_of(settings, count):
    horizon = settings.get("forecast_horizon")
    return horizon if isinstance(horizon, int) else max(1, min(48, count // 10))


def packages(algorithm):
    """What a model needs to be read again."""
    names = ["mlflow-skinny", "cloudpickle", "numpy", "pandas", "scikit-learn"]
    names += ["lightgbm"] if algorithm == "light_gbm" else ["xgboost"] if algorithm.startswith("xg_boost") else []
    return [f"{name}=={version(name)}" for name in names]


# --- a trial -------------------------------------------------------------------------------------


class Trial:
    def __init__(self, order, arguments):
        self.order, self.algorithm = order, arguments.algorithm
        self.target, self.weight = order["target_column_name"], order.get("weight_column_name")
        self.classifies = order["task"] == "classification"
        self.knobs = (arguments.size, arguments.rate, arguments.penalty)

    def load(self, path):
        frame = read(path)
        missing = [name for name in (self.target, self.weight) if name and name not in frame.columns]
        if missing:
            sys.exit(f"The table has no column {missing[0]}; it has {', '.join(frame.columns)}")
        frame = frame[frame[self.target].notna()].reset_index(drop=True)
        settings = self.order.get("forecasting")
        if settings and settings.get("target_aggregate_function") not in (None, "none"):
            series = settings.get("time_series_id_column_names") or []
            by = [settings["time_column_name"], *series]
            how = {name: "first" for name in frame.columns if name not in by}
            frame = frame.groupby(by, as_index=False).agg({**how, self.target: settings["target_aggregate_function"]})
        if self.classifies and not pd.api.types.is_numeric_dtype(frame[self.target]):
            frame[self.target] = frame[self.target].astype(str)
        return frame

    def parts(self, frame):
        aside = [self.target, self.weight, *(self.order.get("cv_split_column_names") or [])]
        unknown = (self.order.get("forecasting") or {}).get("features_unknown_at_forecast_time") or []
        unknown = [unknown] if isinstance(unknown, str) else unknown
        rows = frame.drop(columns=[name for name in [*aside, *unknown] if name and name in frame.columns])
        return rows, frame[self.target], frame[self.weight] if self.weight else None

    def model(self, rows):
        """An untrained pipeline for rows like these, and what the knobs came to."""
        if self.order["task"] != "forecasting":
            model, found = algorithm_of(self.algorithm, self.knobs, self.classifies, self.order["cores"])
            return Pipeline([("prepare", prepared(rows, self.order, self.algorithm)), ("model", model)]), found
        settings = self.order["forecasting"]
        series = settings.get("time_series_id_column_names") or []
        season = season_of(rows, settings)
        lags = lags_of(settings, season)
        window = settings.get("target_rolling_window_size")
        window = season if window == "auto" else window
        of = {"time": settings["time_column_name"], "series": series, "season": season, "lags": lags, "window": window}
        if self.algorithm in NAIVE:
            return Forecaster(self.algorithm, **of), {"season": season}
        model, found = algorithm_of(self.algorithm, self.knobs, False, self.order["cores"])
        like = rows.copy()
        for name in [*lags, *(["mean"] if window else [])]:
            like[LAGS.format(name)] = np.arange(len(like), dtype=float)
        featurization = dict(self.order.get("featurization") or {})
        kinds = {**{name: "Categorical" for name in series}, of["time"]: "DateTime"}
        featurization["column_name_and_types"] = {**(featurization.get("column_name_and_types") or {}), **kinds}
        prepare = prepared(like, {**self.order, "featurization": featurization}, self.algorithm)
        return Forecaster(Pipeline([("prepare", prepare), ("model", model)]), **of), found

    def fit(self, model, rows, target, weights):
        takes = weights is not None and self.algorithm not in ("knn", "lasso_lars", *NAIVE) and self.order["task"] != "forecasting"
        return model.fit(rows, target, **({"model__sample_weight": weights} if takes else {}))

    def run(self, arguments):
        frame = self.load(arguments.training)
        test = self.load(arguments.test) if arguments.test else None
        if test is None and self.order.get("test_data_size") and self.order["task"] != "forecasting":
            frame, test = model_selection.train_test_split(frame, test_size=self.order["test_data_size"], random_state=0)
            frame = frame.reset_index(drop=True)
        rows, target, weights = self.parts(frame)
        if self.classifies and target.nunique() < 2:
            sys.exit(f"The column {self.target} has one class only")
        spread = 1.0 if self.classifies else float(target.max() - target.min()) or 1.0
        untrained, found = self.model(rows)
        print(f"{self.algorithm}: {json.dumps(found)}", flush=True)
        mlflow.log_params({f"{self.algorithm}.{name}": value for name, value in found.items()})
        measured = self.measured(untrained, frame, arguments.validation, spread)
        trained = self.fit(clone(untrained), rows, target, weights)
        if test is not None:
            rows_of_test, known, weighed = self.parts(test)
            of_test = scores(self.order, trained, rows_of_test, known, weighed, spread)
            measured |= {f"test_{name}": value for name, value in of_test.items()}
        print(json.dumps(measured, indent=1), flush=True)
        self.keep(trained, rows, arguments.model)
        mlflow.log_metrics({name: float(value) for name, value in measured.items() if not math.isnan(value)})

    def measured(self, untrained, frame, validation, spread):
        rows, target, weights = self.parts(frame)
        pick = lambda values, at: None if values is None else values.iloc[at]
        if validation:
            other = self.load(validation)
            if self.order["task"] == "forecasting":
                time = self.order["forecasting"]["time_column_name"]
                at = lambda frame: times(frame[time])
                other = other[at(other) > at(frame).max()]
            if len(other):
                known = self.parts(other)
                return scores(self.order, self.fit(clone(untrained), rows, target, weights), *known, spread)
            print("The validation data has no time after the training data: its last times are predicted instead")
        found = []
        for train, held in folds(self.order, frame, target):
            trained = self.fit(clone(untrained), rows.iloc[train], target.iloc[train], pick(weights, train))
            found.append(scores(self.order, trained, rows.iloc[held], target.iloc[held], pick(weights, held), spread))
        return {name: float(np.nanmean([one[name] for one in found])) for name in found[0]}

    def keep(self, trained, rows, to):
        from mlflow.models import Model, infer_signature

        example = rows.head(5)
        signature = infer_signature(example, trained.predict(example))
        about = Model(run_id=RUN, artifact_path=KEPT)
        mlflow.sklearn.save_model(trained, KEPT, mlflow_model=about, signature=signature, pip_requirements=packages(self.algorithm))
        shutil.copytree(KEPT, to, dirs_exist_ok=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--algorithm", required=True)
    for knob in ("size", "rate", "penalty"):
        parser.add_argument(f"--{knob}", type=float, default=0.5)
    for path in ("training", "validation", "test", "model"):
        parser.add_argument(f"--{path}")
    arguments = parser.parse_args()
    order = json.loads(os.environ["AML_AUTOML"])
    Trial(order, arguments).run(arguments)


if __name__ == "__main__":
    main()
