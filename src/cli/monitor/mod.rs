//! `aml monitor`

mod drift;
mod list;
mod show;

use std::fmt::Write as _;

use clap::Subcommand;

use super::{
    context::Context,
    views::{Show, View, list as columns, record, time},
};
use api::monitors::{DriftReport, FeatureDrift, FeatureType, Metric, MonitorReport};

/// Watch whether data is still like the data that a model was trained with
#[derive(Debug, Subcommand)]
pub enum MonitorCommand {
    Drift(Box<drift::DriftArgs>),
    List(list::ListArgs),
    Show(show::ShowArgs),
}

pub async fn run(ctx: &Context, command: MonitorCommand) -> anyhow::Result<()> {
    match command {
        MonitorCommand::Drift(args) => drift::drift(ctx, *args).await,
        MonitorCommand::List(args) => list::list(ctx, args).await,
        MonitorCommand::Show(args) => show::show(ctx, args).await,
    }
}

impl Show for DriftReport {
    fn view(&self) -> View {
        let names = [
            "feature",
            "type",
            "psi",
            "js",
            "wasserstein",
            "ks",
            "ks p",
            "chi²",
            "chi² p",
            "missing",
            "was",
            "unseen",
            "drifted",
        ];
        let table = super::views::render(columns(names, self.features.iter().map(row)), None);
        let mut text = format!(
            "{} ({} rows) against {} ({} rows)\n\n{table}",
            self.data, self.data_rows, self.reference, self.reference_rows
        );
        for alert in &self.alerts {
            let sign = if alert.metric.is_p_value() { '<' } else { '>' };
            let _ = write!(
                text,
                "\n{}: {} {} {sign} {}",
                alert.feature,
                alert.metric.name(),
                short(alert.value),
                alert.threshold
            );
        }
        for (side, names) in [
            ("the data", &self.only_in_data),
            ("the reference", &self.only_in_reference),
        ] {
            if !names.is_empty() {
                let _ = write!(text, "\nOnly in {side}: {}", names.join(", "));
            }
        }
        View::Text(text.trim_end().to_owned() + "\n")
    }
}

fn row(feature: &FeatureDrift) -> [String; 13] {
    let metric = |metric| {
        feature
            .metrics
            .get(&metric)
            .copied()
            .map(short)
            .unwrap_or_default()
    };
    let number = |number: Option<f64>| number.map(short).unwrap_or_default();
    [
        feature.name.clone(),
        match feature.kind {
            FeatureType::Numerical => "numerical".to_owned(),
            FeatureType::Categorical => "categorical".to_owned(),
        },
        metric(Metric::PopulationStabilityIndex),
        metric(Metric::JensenShannonDistance),
        metric(Metric::NormalizedWassersteinDistance),
        number(feature.ks_statistic),
        metric(Metric::TwoSampleKolmogorovSmirnovTest),
        number(feature.chi_squared),
        metric(Metric::PearsonsChiSquaredTest),
        metric(Metric::NullValueRate),
        short(feature.reference_null_rate),
        metric(Metric::OutOfBoundsRate),
        if feature.drifted { "yes" } else { "" }.to_owned(),
    ]
}

/// A number with as many digits as say something.
fn short(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-3 {
        return format!("{number:.1e}");
    }
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Show for Vec<MonitorReport> {
    fn view(&self) -> View {
        columns(
            [
                "monitor",
                "made",
                "run",
                "data",
                "reference",
                "drifted",
                "alerts",
            ],
            self.iter().map(|one| {
                let mut features: Vec<&str> = Vec::new();
                for alert in &one.report.alerts {
                    if !features.contains(&alert.feature.as_str()) {
                        features.push(&alert.feature);
                    }
                }
                [
                    one.monitor.clone(),
                    time(one.created_at),
                    one.run.clone().unwrap_or_default(),
                    one.report.data.clone(),
                    one.report.reference.clone(),
                    if one.report.drifted { "yes" } else { "no" }.to_owned(),
                    features.join(", "),
                ]
            }),
        )
    }
}

impl Show for MonitorReport {
    fn view(&self) -> View {
        let lines = [
            ("Monitor", self.monitor.clone()),
            ("Made", time(self.created_at)),
            ("Run", self.run.clone().unwrap_or_default()),
        ];
        let head = super::views::render(record(lines), None);
        match self.report.view() {
            View::Text(text) => View::Text(format!("{head}\n{text}")),
            other => other,
        }
    }
}
