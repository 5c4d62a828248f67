//! Monitors: whether data is still like the data that it is compared with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Error, Time, operation};

/// The measures that a threshold can be set for, under Azure's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    PopulationStabilityIndex,
    JensenShannonDistance,
    NormalizedWassersteinDistance,
    /// The p-value; a lower one is further away.
    TwoSampleKolmogorovSmirnovTest,
    /// The p-value; a lower one is further away.
    PearsonsChiSquaredTest,
    NullValueRate,
    DataTypeErrorRate,
    OutOfBoundsRate,
}

impl Metric {
    pub const ALL: [Metric; 8] = [
        Metric::PopulationStabilityIndex,
        Metric::JensenShannonDistance,
        Metric::NormalizedWassersteinDistance,
        Metric::TwoSampleKolmogorovSmirnovTest,
        Metric::PearsonsChiSquaredTest,
        Metric::NullValueRate,
        Metric::DataTypeErrorRate,
        Metric::OutOfBoundsRate,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Metric::PopulationStabilityIndex => "population_stability_index",
            Metric::JensenShannonDistance => "jensen_shannon_distance",
            Metric::NormalizedWassersteinDistance => "normalized_wasserstein_distance",
            Metric::TwoSampleKolmogorovSmirnovTest => "two_sample_kolmogorov_smirnov_test",
            Metric::PearsonsChiSquaredTest => "pearsons_chi_squared_test",
            Metric::NullValueRate => "null_value_rate",
            Metric::DataTypeErrorRate => "data_type_error_rate",
            Metric::OutOfBoundsRate => "out_of_bounds_rate",
        }
    }

    pub fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Whether a value below the threshold is the alarming one.
    pub fn is_p_value(self) -> bool {
        matches!(
            self,
            Metric::TwoSampleKolmogorovSmirnovTest | Metric::PearsonsChiSquaredTest
        )
    }
}

/// What kind of values a feature has, as the reference has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureType {
    Numerical,
    Categorical,
}

/// How a feature compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: FeatureType,
    /// Some measure is beyond its threshold.
    pub drifted: bool,
    /// What was measured; a measure that means nothing for the feature is absent.
    pub metrics: BTreeMap<Metric, f64>,
    /// The largest distance of the two distributions, of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ks_statistic: Option<f64>,
    /// The statistic of the test and its degrees of freedom, of categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chi_squared: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degrees_of_freedom: Option<u32>,
    /// Share of the rows without a value, in the reference; in the data it is a metric.
    pub reference_null_rate: f64,
}

/// A measure that is beyond its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftAlert {
    pub feature: String,
    pub metric: Metric,
    pub value: f64,
    pub threshold: f64,
}

/// How data compares with the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftReport {
    /// What the data and the reference were called.
    pub data: String,
    pub reference: String,
    pub data_rows: u64,
    pub reference_rows: u64,
    pub drifted: bool,
    pub features: Vec<FeatureDrift>,
    pub alerts: Vec<DriftAlert>,
    /// Features of one side alone, which cannot be compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_in_data: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_in_reference: Vec<String>,
}

/// A report that a monitor made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonitorReport {
    pub monitor: String,
    /// The run that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    pub created_at: Time,
    #[serde(flatten)]
    pub report: DriftReport,
}

/// Why a workspace of edition Basic has no monitors, and what to do.
pub fn needs_enterprise(workspace: &str) -> Error {
    Error::unsupported(format!(
        "Monitors of drift need the edition Enterprise; `{workspace}` is a Basic workspace"
    ))
    .hint(format!(
        "Upgrade it: aml workspace upgrade -n {workspace} --edition enterprise"
    ))
}

/// Keeps a report of a monitor, the last hundred of each, and tells the webhooks that want to know
/// when there are alerts. In a workspace of edition Enterprise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordDrift {
    pub workspace: String,
    pub monitor: String,
    #[serde(default)]
    pub run: Option<String>,
    /// Tell no webhook.
    #[serde(default)]
    pub quiet: bool,
    pub report: DriftReport,
}
operation!(RecordDrift => MonitorReport, "monitors.record");

/// The last report of each monitor, or the reports of one, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListMonitorReports {
    pub workspace: String,
    #[serde(default)]
    pub monitor: Option<String>,
    /// The most that are answered.
    #[serde(default)]
    pub limit: Option<u32>,
}
operation!(ListMonitorReports => Vec<MonitorReport>, "monitors.list");
