//! AutoML jobs: tables, images, texts.

mod image;
mod text;

use serde_json::{Map as Object, Value};

use crate::{
    declare::{choice, record, union, words},
    described::{Literal, Map, Scalar},
    io::TableInput,
    job::{JobBase, QueueSettings, Resources},
    shape::{Fault, Wrong},
    step::NodeOutput,
    sweep::{EarlyTermination, SamplingAlgorithm},
};

pub use image::*;
pub use text::*;

/// The name under which trials log a metric, and the goal of who looks for the best of it.
pub fn logged(metric: &str) -> (&str, &'static str) {
    match metric {
        "auc_weighted" => ("AUC_weighted", "maximize"),
        other if other.ends_with("_error") => (other, "minimize"),
        other => (other, "maximize"),
    }
}

/// Once it is taken in, a job has its tables among its inputs, so that no record can demand this one.
fn check_data(job: &Object<String, Value>) -> Vec<Wrong> {
    if job.contains_key("training_data") {
        return Vec::new();
    }
    let fault = Fault::new("`training_data` is missing: there is nothing to train on")
        .hint("Name a table: training_data: {type: mltable, path: ./data}");
    vec![Wrong::at(["training_data"], fault)]
}

record! {
    /// What every AutoML job may say.
    AutomlBase = "AutoML job" (bindable: true) {
        ..base: JobBase,
        r#type: AutomlType,
        training_data: Option<AutomlData>,
        validation_data: Option<AutomlData>,
        outputs: Map<Option<NodeOutput>>,
        resources: Option<Resources>,
        queue_settings: Option<QueueSettings>,
        environment_id: Option<String>,
        environment_variables: Map<Scalar>,
        log_verbosity: LogVerbosity = "info",
        comment: Option<String>,
    }

    /// What AutoML jobs on tables may say.
    TableBase = "AutoML job" (bindable: true) {
        ..base: AutomlBase,
        /// The column that is predicted.
        target_column_name: String,
        test_data: Option<AutomlData>,
        validation_data_size: Option<f64>,
        test_data_size: Option<f64>,
        cv_split_column_names: Vec<String>,
        n_cross_validations: Option<AutoOrCount>,
        weight_column_name: Option<String>,
        limits: Option<TableLimits>,
        featurization: Option<TableFeaturization>,
    }

    /// Finds a model that tells classes apart.
    Classification = "classification job" (bindable: true, rule: Some(check_data)) {
        ..base: TableBase,
        task: ClassificationTask,
        primary_metric: ClassificationMetric = "auc_weighted",
        positive_label: Option<String>,
        training: Option<ClassificationTraining>,
    }

    /// Finds a model that predicts a number.
    Regression = "regression job" (bindable: true, rule: Some(check_data)) {
        ..base: TableBase,
        task: RegressionTask,
        primary_metric: RegressionMetric = "normalized_root_mean_squared_error",
        training: Option<RegressionTraining>,
    }

    /// Finds a model that predicts a series of numbers.
    Forecasting = "forecasting job" (bindable: true, rule: Some(check_data)) {
        ..base: TableBase,
        task: ForecastingTask,
        primary_metric: RegressionMetric = "normalized_root_mean_squared_error",
        training: Option<ForecastingTraining>,
        forecasting: Option<ForecastingSettings>,
    }

    TableLimits = "limits" {
        max_trials: Option<i64>,
        max_concurrent_trials: Option<i64>,
        max_cores_per_trial: Option<i64>,
        max_nodes: Option<i64>,
        timeout_minutes: Option<i64>,
        trial_timeout_minutes: Option<i64>,
        enable_early_termination: Option<bool>,
        exit_score: Option<f64>,
    }

    TableFeaturization = "featurization" {
        mode: FeaturizationMode = "auto",
        dataset_language: Option<String>,
        blocked_transformers: Vec<Transformer>,
        column_name_and_types: Map<String>,
        transformer_params: Map<Vec<ColumnTransformer>>,
        enable_dnn_featurization: Option<bool>,
    }

    ColumnTransformer = "column transformer" {
        fields: Vec<String>,
        parameters: Map<Literal>,
    }

    /// What training on tables may say.
    TrainingBase = "training settings" {
        enable_dnn_training: Option<bool>,
        enable_model_explainability: Option<bool>,
        enable_onnx_compatible_models: Option<bool>,
        enable_stack_ensemble: Option<bool>,
        enable_vote_ensemble: Option<bool>,
        ensemble_model_download_timeout_minutes: Option<i64>,
        stack_ensemble_settings: Option<StackEnsemble>,
        training_mode: Option<TrainingMode>,
    }

    ClassificationTraining = "training settings" {
        ..base: TrainingBase,
        allowed_training_algorithms: Vec<ClassificationAlgorithm>,
        blocked_training_algorithms: Vec<ClassificationAlgorithm>,
    }

    RegressionTraining = "training settings" {
        ..base: TrainingBase,
        allowed_training_algorithms: Vec<RegressionAlgorithm>,
        blocked_training_algorithms: Vec<RegressionAlgorithm>,
    }

    ForecastingTraining = "training settings" {
        ..base: TrainingBase,
        allowed_training_algorithms: Vec<ForecastingAlgorithm>,
        blocked_training_algorithms: Vec<ForecastingAlgorithm>,
    }

    StackEnsemble = "stack ensemble settings" {
        stack_meta_learner_type: Option<MetaLearner>,
        stack_meta_learner_train_percentage: Option<f64>,
        stack_meta_learner_kwargs: Map<serde_json::Value>,
    }

    ForecastingSettings = "forecasting settings" {
        time_column_name: Option<String>,
        time_series_id_column_names: Option<crate::job::OneOrMore>,
        forecast_horizon: Option<AutoOrCount>,
        frequency: Option<String>,
        target_lags: Option<Lags>,
        target_rolling_window_size: Option<AutoOrCount>,
        seasonality: Option<AutoOrCount>,
        feature_lags: Option<FeatureLags>,
        use_stl: Option<UseStl>,
        country_or_region_for_holidays: Option<String>,
        cv_step_size: Option<i64>,
        short_series_handling_config: Option<ShortSeries>,
        target_aggregate_function: Option<Aggregate>,
        features_unknown_at_forecast_time: Option<crate::job::OneOrMore>,
    }

    /// How trials of images and texts are chosen and given up.
    TrialSweep = "sweep settings" {
        sampling_algorithm: Option<SamplingAlgorithm>,
        early_termination: Option<EarlyTermination>,
    }
}

union! {
    /// An AutoML job.
    AutomlNode = "an AutoML job" {
        Classification(Box<Classification>),
        Regression(Box<Regression>),
        Forecasting(Box<Forecasting>),
        ImageClassification(Box<ImageClassification>),
        ImageClassificationMultilabel(Box<ImageClassificationMultilabel>),
        ImageObjectDetection(Box<ImageObjectDetection>),
        ImageInstanceSegmentation(Box<ImageInstanceSegmentation>),
        TextClassification(Box<TextClassification>),
        TextClassificationMultilabel(Box<TextClassificationMultilabel>),
        TextNer(Box<TextNer>),
    }

    /// A table: a mapping with `type: mltable`, or an expression.
    AutomlData = "a table (`type: mltable` with a `path`)" {
        Reference(String),
        Table(TableInput),
    }

    AutoOrCount = "`auto` or an integer" {
        Auto(AutoWord),
        Count(i64),
    }

    Lags = "`auto`, an integer or a list of integers" {
        Auto(AutoWord),
        One(i64),
        More(Vec<i64>),
    }
}

choice! {
    LogVerbosity = "a log verbosity" {
        NotSet = "not_set",
        Debug = "debug",
        Info = "info",
        Warning = "warning",
        Error = "error",
        Critical = "critical",
    }

    FeaturizationMode = "a featurization mode" {
        Auto = "auto",
        Off = "off",
        Custom = "custom",
    }
}

words! {
    AutomlType = "the type of an AutoML job" ["automl"]
    ClassificationTask = "an AutoML task" ["classification"]
    RegressionTask = "an AutoML task" ["regression"]
    ForecastingTask = "an AutoML task" ["forecasting"]
    AutoWord = "`auto`" ["auto"]
    ClassificationMetric = "a metric of classification" [
        "auc_weighted", "accuracy", "norm_macro_recall", "average_precision_score_weighted",
        "precision_score_weighted",
    ]
    RegressionMetric = "a metric of regression" [
        "spearman_correlation", "normalized_root_mean_squared_error", "r2_score",
        "normalized_mean_absolute_error",
    ]
    TrainingMode = "a training mode" ["auto", "distributed", "non_distributed"]
    Transformer = "a transformer" [
        "text_target_encoder", "one_hot_encoder", "cat_target_encoder", "tf_idf",
        "wo_e_target_encoder", "label_encoder", "word_embedding", "naive_bayes",
        "count_vectorizer", "hash_one_hot_encoder",
    ]
    ClassificationAlgorithm = "an algorithm of classification" [
        "logistic_regression", "sgd", "multinomial_naive_bayes", "bernoulli_naive_bayes", "svm",
        "linear_svm", "knn", "decision_tree", "random_forest", "extreme_random_trees",
        "light_gbm", "gradient_boosting", "xg_boost_classifier",
    ]
    RegressionAlgorithm = "an algorithm of regression" [
        "elastic_net", "gradient_boosting", "decision_tree", "knn", "lasso_lars", "sgd",
        "random_forest", "extreme_random_trees", "light_gbm", "xg_boost_regressor",
    ]
    ForecastingAlgorithm = "an algorithm of forecasting" [
        "auto_arima", "prophet", "naive", "seasonal_naive", "average", "seasonal_average",
        "exponential_smoothing", "arimax", "tcn_forecaster", "elastic_net", "gradient_boosting",
        "decision_tree", "knn", "lasso_lars", "sgd", "random_forest", "extreme_random_trees",
        "light_gbm", "xg_boost_regressor",
    ]
    MetaLearner = "a meta learner" [
        "none", "logistic_regression", "logistic_regression_cv", "light_gbm_classifier",
        "elastic_net", "elastic_net_cv", "light_gbm_regressor", "linear_regression",
    ]
    FeatureLags = "a kind of feature lags" ["none", "auto"]
    UseStl = "a kind of decomposition" ["none", "season", "seasontrend"]
    ShortSeries = "a way to handle short series" ["none", "auto", "pad", "drop"]
    Aggregate = "an aggregate function" ["none", "sum", "max", "min", "mean"]
}
