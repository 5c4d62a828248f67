//! AutoML jobs on texts.

use super::{AutomlBase, ClassificationMetric, TrialSweep, TrialValue};
use crate::declare::{record, words};

record! {
    /// What AutoML jobs on texts may say.
    TextBase = "AutoML job" (bindable: true) {
        ..base: AutomlBase,
        limits: Option<TextLimits>,
        sweep: Option<TrialSweep>,
        training_parameters: Option<TextSettings>,
        search_space: Vec<TextSpace>,
        featurization: Option<TextFeaturization>,
    }

    TextLimits = "limits" {
        max_trials: Option<i64>,
        max_concurrent_trials: Option<i64>,
        max_nodes: Option<i64>,
        timeout_minutes: Option<i64>,
        trial_timeout_minutes: Option<i64>,
    }

    TextFeaturization = "featurization" {
        dataset_language: Option<String>,
    }

    /// How a model is trained.
    TextSettings = "training parameters" {
        gradient_accumulation_steps: Option<i64>,
        learning_rate: Option<f64>,
        learning_rate_scheduler: Option<TextScheduler>,
        model_name: Option<String>,
        number_of_epochs: Option<i64>,
        training_batch_size: Option<i64>,
        validation_batch_size: Option<i64>,
        warmup_ratio: Option<f64>,
        weight_decay: Option<f64>,
    }

    /// The values that are tried in training.
    TextSpace = "search space" {
        gradient_accumulation_steps: Option<TrialValue>,
        learning_rate: Option<TrialValue>,
        learning_rate_scheduler: Option<TrialValue>,
        model_name: Option<TrialValue>,
        number_of_epochs: Option<TrialValue>,
        training_batch_size: Option<TrialValue>,
        validation_batch_size: Option<TrialValue>,
        warmup_ratio: Option<TrialValue>,
        weight_decay: Option<TrialValue>,
    }

    /// Finds a model that tells texts apart.
    TextClassification = "text classification job" (bindable: true) {
        ..base: TextBase,
        task: TextClassificationTask,
        primary_metric: ClassificationMetric = "accuracy",
        /// The column that is predicted.
        target_column_name: String,
    }

    /// Finds a model that gives texts all labels that fit.
    TextClassificationMultilabel = "text classification job" (bindable: true) {
        ..base: TextBase,
        task: TextMultilabelTask,
        primary_metric: TextMetric = "accuracy",
        /// The column that is predicted.
        target_column_name: String,
    }

    /// Finds a model that finds names in texts.
    TextNer = "named entity recognition job" (bindable: true) {
        ..base: TextBase,
        task: TextNerTask,
        primary_metric: TextMetric = "accuracy",
        target_column_name: Option<String>,
    }
}

words! {
    TextClassificationTask = "an AutoML task" ["text_classification"]
    TextMultilabelTask = "an AutoML task" ["text_classification_multilabel"]
    TextNerTask = "an AutoML task" ["text_ner"]
    TextMetric = "a metric of text classification" ["accuracy"]
    TextScheduler = "a scheduler" [
        "none", "linear", "cosine", "cosine_with_restarts", "polynomial", "constant",
        "constant_with_warmup",
    ]
}
