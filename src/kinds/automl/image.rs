//! AutoML jobs on images.

use super::{AutomlBase, AutomlData, ClassificationMetric, TrialSweep};
use crate::{
    declare::{record, union, words},
    described::Literal,
    sweep::SearchSpace,
};

/// The keys of an image model, each given a value or, in a search space, several.
macro_rules! image_model {
    ($Settings:ident, $Space:ident, $title:literal, {
        $($key:ident: $type:ty,)*
    }, settings only { $($setting:ident: $setting_type:ty,)* }) => {
        record! {
            /// How a model is trained.
            $Settings = $title {
                $($key: Option<$type>,)*
                $($setting: Option<$setting_type>,)*
            }

            /// The values that are tried in training.
            $Space = "search space" {
                augmentations: Option<TrialValue>,
                $($key: Option<TrialValue>,)*
            }
        }
    };
}

image_model! { ImageClassifierSettings, ImageClassifierSpace, "training parameters", {
    ams_gradient: bool, beta1: f64, beta2: f64, distributed: bool, early_stopping: bool,
    early_stopping_delay: i64, early_stopping_patience: i64, evaluation_frequency: i64,
    enable_onnx_normalization: bool, gradient_accumulation_step: i64, layers_to_freeze: i64,
    learning_rate: f64, learning_rate_scheduler: LearningRateScheduler, model_name: String,
    momentum: f64, nesterov: bool, number_of_epochs: i64, number_of_workers: i64,
    optimizer: Optimizer, random_seed: i64, step_lr_gamma: f64, step_lr_step_size: i64,
    training_batch_size: i64, validation_batch_size: i64, warmup_cosine_lr_cycles: f64,
    warmup_cosine_lr_warmup_epochs: i64, weight_decay: f64, training_crop_size: i64,
    validation_crop_size: i64, validation_resize_size: i64, weighted_loss: i64,
}, settings only { advanced_settings: String, checkpoint_frequency: i64, checkpoint_run_id: String, } }

image_model! { ImageDetectorSettings, ImageDetectorSpace, "training parameters", {
    ams_gradient: bool, beta1: f64, beta2: f64, distributed: bool, early_stopping: bool,
    early_stopping_delay: i64, early_stopping_patience: i64, evaluation_frequency: i64,
    enable_onnx_normalization: bool, gradient_accumulation_step: i64, layers_to_freeze: i64,
    learning_rate: f64, learning_rate_scheduler: LearningRateScheduler, model_name: String,
    momentum: f64, nesterov: bool, number_of_epochs: i64, number_of_workers: i64,
    optimizer: Optimizer, random_seed: i64, step_lr_gamma: f64, step_lr_step_size: i64,
    training_batch_size: i64, validation_batch_size: i64, warmup_cosine_lr_cycles: f64,
    warmup_cosine_lr_warmup_epochs: i64, weight_decay: f64, box_detections_per_image: i64,
    box_score_threshold: f64, image_size: i64, max_size: i64, min_size: i64,
    model_size: ModelSize, multi_scale: bool, nms_iou_threshold: f64, tile_grid_size: String,
    tile_overlap_ratio: f64, tile_predictions_nms_threshold: f64,
    validation_iou_threshold: f64, validation_metric_type: ValidationMetric,
}, settings only {
    advanced_settings: String, checkpoint_frequency: i64, checkpoint_run_id: String,
    log_training_metrics: String, log_validation_loss: String,
} }

record! {
    /// What AutoML jobs on images may say.
    ImageBase = "AutoML job" (bindable: true) {
        ..base: AutomlBase,
        /// The column that is predicted.
        target_column_name: String,
        test_data: Option<AutomlData>,
        test_data_size: Option<f64>,
        validation_data_size: Option<f64>,
        limits: Option<ImageLimits>,
        sweep: Option<TrialSweep>,
    }

    ImageLimits = "limits" {
        max_trials: Option<i64>,
        max_concurrent_trials: Option<i64>,
        timeout_minutes: Option<i64>,
    }

    /// Finds a model that says what an image shows.
    ImageClassification = "image classification job" (bindable: true) {
        ..base: ImageBase,
        task: ImageClassificationTask,
        primary_metric: ClassificationMetric = "accuracy",
        training_parameters: Option<ImageClassifierSettings>,
        search_space: Vec<ImageClassifierSpace>,
    }

    /// Finds a model that says all that an image shows.
    ImageClassificationMultilabel = "image classification job" (bindable: true) {
        ..base: ImageBase,
        task: ImageMultilabelTask,
        primary_metric: MultilabelMetric = "iou",
        training_parameters: Option<ImageClassifierSettings>,
        search_space: Vec<ImageClassifierSpace>,
    }

    /// Finds a model that finds things in images.
    ImageObjectDetection = "object detection job" (bindable: true) {
        ..base: ImageBase,
        task: ObjectDetectionTask,
        primary_metric: DetectionMetric = "mean_average_precision",
        training_parameters: Option<ImageDetectorSettings>,
        search_space: Vec<ImageDetectorSpace>,
    }

    /// Finds a model that finds the outlines of things in images.
    ImageInstanceSegmentation = "instance segmentation job" (bindable: true) {
        ..base: ImageBase,
        task: SegmentationTask,
        primary_metric: DetectionMetric = "mean_average_precision",
        training_parameters: Option<ImageDetectorSettings>,
        search_space: Vec<ImageDetectorSpace>,
    }
}

union! {
    /// A value that is tried, or a distribution of values.
    TrialValue = "a value or a search space" {
        Value(Literal),
        Space(SearchSpace),
    }
}

words! {
    ImageClassificationTask = "an AutoML task" ["image_classification"]
    ImageMultilabelTask = "an AutoML task" ["image_classification_multilabel"]
    ObjectDetectionTask = "an AutoML task" ["image_object_detection"]
    SegmentationTask = "an AutoML task" ["image_instance_segmentation"]
    MultilabelMetric = "a metric of classification" [
        "auc_weighted", "accuracy", "norm_macro_recall", "average_precision_score_weighted",
        "precision_score_weighted", "iou",
    ]
    DetectionMetric = "a metric of detection" ["mean_average_precision"]
    LearningRateScheduler = "a scheduler" ["none", "warmup_cosine", "step"]
    Optimizer = "an optimizer" ["none", "sgd", "adam", "adamw"]
    ModelSize = "a model size" ["none", "small", "medium", "large", "extra_large"]
    ValidationMetric = "a validation metric" ["none", "coco", "voc", "coco_voc"]
}
