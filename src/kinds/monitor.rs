//! Monitors: what a schedule looks at.

use serde_json::Value;

use crate::{
    declare::{record, union, words},
    described::{Map, Scalar},
    io::{DataInput, TableInput},
};

record! {
    /// What is looked at, and what is said about it.
    MonitorDefinition = "monitor" {
        compute: Option<MonitorCompute>,
        monitoring_target: Option<MonitoringTarget>,
        /// What is computed, by name.
        monitoring_signals: Map<Signal>,
        alert_notification: Option<AlertNotification>,
    }

    MonitorCompute = "compute of a monitor" {
        compute_type: Option<String>,
        instance_type: Option<String>,
        runtime_version: Option<Scalar>,
    }

    MonitoringTarget = "monitoring target" {
        ml_task: Option<MonitorTask>,
        endpoint_deployment_id: Option<String>,
        model_id: Option<String>,
    }

    Alerts = "alert notification" { emails: Vec<String>, }

    /// What every signal on data may say.
    SignalBase = "signal" {
        production_data: Option<ProductionData>,
        reference_data: Option<ReferenceData>,
        alert_enabled: Option<bool>,
        properties: Map<Value>,
    }

    /// How much the data has changed.
    DataDrift = "data drift signal" {
        ..base: SignalBase,
        r#type: DataDriftType,
        features: Option<Features>,
        feature_type_override: Map<Value>,
        metric_thresholds: Option<DriftThresholds>,
        data_segment: Option<DataSegment>,
    }

    /// How good the data is.
    DataQuality = "data quality signal" {
        ..base: SignalBase,
        r#type: DataQualityType,
        features: Option<Features>,
        feature_type_override: Map<Value>,
        metric_thresholds: Option<QualityThresholds>,
    }

    /// How much the predictions have changed.
    PredictionDrift = "prediction drift signal" {
        ..base: SignalBase,
        r#type: PredictionDriftType,
        metric_thresholds: Option<DriftThresholds>,
    }

    /// How much the weights of features have changed.
    AttributionDrift = "feature attribution drift signal" {
        r#type: AttributionDriftType,
        production_data: Vec<AttributionData>,
        reference_data: Option<ReferenceData>,
        alert_enabled: Option<bool>,
        metric_thresholds: Option<AttributionThresholds>,
    }

    /// How good the predictions are.
    ModelPerformance = "model performance signal" {
        ..base: SignalBase,
        r#type: ModelPerformanceType,
        data_segment: Option<DataSegment>,
        metric_thresholds: Option<PerformanceThresholds>,
    }

    /// What a component of one's own computes.
    CustomSignal = "custom signal" {
        r#type: CustomType,
        component_id: Option<String>,
        connection: Option<SignalConnection>,
        metric_thresholds: Vec<CustomThreshold>,
        input_data: Map<ReferenceData>,
        inputs: Map<SignalInput>,
        alert_enabled: Option<bool>,
    }

    /// How safe and good generated text is.
    GenerationSafety = "generation safety signal" {
        r#type: GenerationSafetyType,
        production_data: Vec<GenerationData>,
        connection_id: Option<String>,
        metric_thresholds: Option<GenerationThresholds>,
        alert_enabled: Option<bool>,
        properties: Map<Value>,
        sampling_rate: Option<f64>,
    }

    /// How many tokens are used.
    GenerationTokens = "token statistics signal" {
        r#type: GenerationTokensType,
        production_data: Option<GenerationData>,
        metric_thresholds: Option<TokenThresholds>,
        alert_enabled: Option<bool>,
        properties: Map<Value>,
        sampling_rate: Option<f64>,
    }

    ProductionData = "production data" {
        input_data: Option<SignalInput>,
        data_context: Option<DataContext>,
        pre_processing_component: Option<String>,
        data_window: Option<DataWindow>,
        data_column_names: Map<String>,
    }

    ReferenceData = "reference data" {
        input_data: Option<SignalInput>,
        data_context: Option<DataContext>,
        pre_processing_component: Option<String>,
        target_column_name: Option<String>,
        data_window: Option<DataWindow>,
        data_column_names: Map<String>,
    }

    AttributionData = "production data" {
        input_data: Option<SignalInput>,
        data_context: Option<DataContext>,
        data_column_names: Map<String>,
        pre_processing_component: Option<String>,
        data_window: Option<DataWindow>,
    }

    GenerationData = "production data" {
        input_data: Option<SignalInput>,
        data_column_names: Map<Value>,
        data_window: Option<DataWindow>,
    }

    DataWindow = "data window" {
        window_start: Option<String>,
        window_end: Option<String>,
        lookback_window_size: Option<String>,
        lookback_window_offset: Option<String>,
    }

    DataSegment = "data segment" {
        feature_name: Option<String>,
        feature_values: Vec<String>,
    }

    TopFeatures = "features" { top_n_feature_importance: Option<i64>, }

    SignalConnection = "connection" (secret: true) {
        environment_variables: Map<String>,
        secret_config: Map<String>,
    }

    DriftThresholds = "thresholds" {
        threshold: Option<f64>,
        data_type: Option<FeatureType>,
        numerical: Option<NumericalDrift>,
        categorical: Option<CategoricalDrift>,
    }

    NumericalDrift = "thresholds" {
        jensen_shannon_distance: Option<f64>,
        normalized_wasserstein_distance: Option<f64>,
        population_stability_index: Option<f64>,
        two_sample_kolmogorov_smirnov_test: Option<f64>,
    }

    CategoricalDrift = "thresholds" {
        jensen_shannon_distance: Option<f64>,
        population_stability_index: Option<f64>,
        pearsons_chi_squared_test: Option<f64>,
    }

    QualityThresholds = "thresholds" {
        threshold: Option<f64>,
        data_type: Option<FeatureType>,
        numerical: Option<QualityRates>,
        categorical: Option<QualityRates>,
    }

    QualityRates = "thresholds" {
        null_value_rate: Option<f64>,
        data_type_error_rate: Option<f64>,
        out_of_bounds_rate: Option<f64>,
    }

    AttributionThresholds = "thresholds" {
        threshold: Option<f64>,
        normalized_discounted_cumulative_gain: Option<f64>,
    }

    PerformanceThresholds = "thresholds" {
        threshold: Option<f64>,
        classification: Option<ClassificationThresholds>,
        regression: Option<RegressionThresholds>,
    }

    ClassificationThresholds = "thresholds" {
        accuracy: Option<f64>,
        precision: Option<f64>,
        recall: Option<f64>,
    }

    RegressionThresholds = "thresholds" {
        mae: Option<f64>,
        mse: Option<f64>,
        rmse: Option<f64>,
    }

    CustomThreshold = "threshold" {
        metric_name: Option<String>,
        threshold: Option<f64>,
    }

    GenerationThresholds = "thresholds" {
        groundedness: Option<Groundedness>,
        relevance: Option<Relevance>,
        coherence: Option<Coherence>,
        fluency: Option<Fluency>,
        similarity: Option<Similarity>,
    }

    Groundedness = "thresholds" {
        aggregated_groundedness_pass_rate: Option<f64>,
        acceptable_groundedness_score_per_instance: Option<f64>,
    }

    Relevance = "thresholds" {
        aggregated_relevance_pass_rate: Option<f64>,
        acceptable_relevance_score_per_instance: Option<f64>,
    }

    Coherence = "thresholds" {
        aggregated_coherence_pass_rate: Option<f64>,
        acceptable_coherence_score_per_instance: Option<f64>,
    }

    Fluency = "thresholds" {
        aggregated_fluency_pass_rate: Option<f64>,
        acceptable_fluency_score_per_instance: Option<f64>,
    }

    Similarity = "thresholds" {
        aggregated_similarity_pass_rate: Option<f64>,
        acceptable_similarity_score_per_instance: Option<f64>,
    }

    TokenThresholds = "thresholds" { totaltoken: Option<TotalTokens>, }

    TotalTokens = "thresholds" {
        total_token_count: Option<f64>,
        total_token_count_per_group: Option<f64>,
    }
}

union! {
    /// What is computed from the data of a deployment.
    Signal = "a signal" {
        DataDrift(DataDrift),
        DataQuality(DataQuality),
        PredictionDrift(PredictionDrift),
        AttributionDrift(AttributionDrift),
        Custom(CustomSignal),
        GenerationSafety(GenerationSafety),
        ModelPerformance(ModelPerformance),
        GenerationTokens(GenerationTokens),
    }

    SignalInput = "data (a mapping with `type` and `path`)" {
        Data(DataInput),
        Table(TableInput),
    }

    Features = "features (`all_features`, a list, or a mapping)" {
        All(AllFeatures),
        Some(Vec<String>),
        Top(TopFeatures),
    }

    AlertNotification = "an alert notification (`azmonitoring`, or a mapping)" {
        Azure(AzureMonitoring),
        Mail(Alerts),
    }
}

words! {
    MonitorTask = "a task" ["classification", "regression", "questionanswering"]
    DataContext = "a data context" [
        "model_inputs", "model_outputs", "training", "test", "validation", "ground_truth",
    ]
    FeatureType = "a type of features" ["numerical", "categorical"]
    AllFeatures = "`all_features`" ["all_features"]
    AzureMonitoring = "`azmonitoring`" ["azmonitoring"]
    DataDriftType = "a type of signal" ["data_drift"]
    DataQualityType = "a type of signal" ["data_quality"]
    PredictionDriftType = "a type of signal" ["prediction_drift"]
    AttributionDriftType = "a type of signal" ["feature_attribution_drift"]
    ModelPerformanceType = "a type of signal" ["model_performance"]
    CustomType = "a type of signal" ["custom"]
    GenerationSafetyType = "a type of signal" ["generation_safety_quality"]
    GenerationTokensType = "a type of signal" ["generation_token_statistics"]
}
