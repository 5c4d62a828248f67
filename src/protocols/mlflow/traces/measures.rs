//! Figures about many traces.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::mlflow::{
    call::Call,
    error::Failure,
    experiments,
    fields::{Fields, missing},
    wire::{Answer, answer, page},
};
use api::{
    Time,
    trace_measures::{Aggregation, CorrelateTraces, Figure, MeasureTraces, Measured},
};

const RESULTS: i64 = 1000;

async fn experiment_ids(call: &Call) -> Result<Vec<String>, Failure> {
    let ids = call.fields.texts("experiment_ids")?;
    if ids.is_empty() {
        return Err(missing("experiment_ids"));
    }
    experiments::ids(call, &ids).await
}

/// A name of a list of names, which may be given by its number.
fn choice(fields: &Fields, name: &str, names: &[&'static str]) -> Result<&'static str, Failure> {
    let number = fields.integer(name).ok().flatten();
    let found = match number.and_then(|number| usize::try_from(number - 1).ok()) {
        Some(index) => names.get(index),
        None => {
            let text = fields.required(name)?;
            names.iter().find(|known| **known == text)
        }
    };
    found.copied().ok_or_else(|| {
        Failure::invalid(format!(
            "Invalid value for parameter '{name}': one of {names:?} is right"
        ))
    })
}

fn aggregation(fields: &Fields) -> Result<(Aggregation, String), Failure> {
    let names = ["COUNT", "SUM", "AVG", "PERCENTILE", "MIN", "MAX"];
    let name = choice(fields, "aggregation_type", &names)?;
    let aggregation = match name {
        "COUNT" => Aggregation::Count,
        "SUM" => Aggregation::Sum,
        "AVG" => Aggregation::Average,
        "MIN" => Aggregation::Min,
        "MAX" => Aggregation::Max,
        _ => {
            let percent = fields.number("percentile_value")?;
            let percent = percent.ok_or_else(|| missing("percentile_value"))?;
            // As Python writes it, which clients look for.
            return Ok((Aggregation::Percentile(percent), format!("P{percent:?}")));
        }
    };
    Ok((aggregation, name.to_owned()))
}

pub async fn measure(call: Call) -> Answer {
    let fields = &call.fields;
    let view = choice(fields, "view_type", &["TRACES", "SPANS", "ASSESSMENTS"])?;
    let metric = fields.required("metric_name")?;
    let all = fields.objects("aggregations")?;
    let all: Vec<_> = all.iter().map(aggregation).collect::<Result<_, _>>()?;
    if all.is_empty() {
        return Err(missing("aggregations"));
    }
    let (aggregations, names): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let interval = fields.integer("time_interval_seconds")?;
    let interval = interval.map(|seconds| {
        u32::try_from(seconds).map_err(|_| {
            Failure::invalid("time_interval_seconds must be a positive number of seconds")
        })
    });
    let measure = MeasureTraces {
        workspace: call.workspace.clone(),
        experiment_ids: experiment_ids(&call).await?,
        of: match view {
            "TRACES" => Measured::Traces,
            "SPANS" => Measured::Spans,
            _ => Measured::Assessments,
        },
        metric: metric.clone(),
        aggregations,
        groups: fields.texts("dimensions")?,
        filters: fields.texts("filters")?,
        from: fields.integer("start_time_ms")?.map(Time),
        until: fields.integer("end_time_ms")?.map(Time),
        interval_seconds: interval.transpose()?,
        limit: fields.max_results(RESULTS, RESULTS)?,
        page: fields.some_text("page_token")?,
    };
    let found = call.perform(measure).await?;
    let points = found.items.into_iter();
    let points: Vec<Value> = points
        .filter_map(|one| point(&metric, &names, one))
        .collect();
    page("data_points", &points, found.next)
}

fn point(metric: &str, names: &[String], figure: Figure) -> Option<Value> {
    let values = names.iter().cloned().zip(figure.values);
    let values: Map<String, Value> = values
        .filter_map(|(name, value)| Some((name, json!(value?))))
        .collect();
    let mut dimensions = json!(figure.group);
    if let Some(Time(at)) = figure.begins_at {
        let time = DateTime::<Utc>::from_timestamp_millis(at)?;
        let time = time.format("%Y-%m-%dT%H:%M:%S+00:00").to_string();
        dimensions["time_bucket"] = time.into();
    }
    (!values.is_empty())
        .then(|| json!({"metric_name": metric, "dimensions": dimensions, "values": values}))
}

pub async fn correlate(call: Call) -> Answer {
    let fields = &call.fields;
    let correlate = CorrelateTraces {
        workspace: call.workspace.clone(),
        experiment_ids: experiment_ids(&call).await?,
        first: fields.required("filter_string1")?,
        second: fields.required("filter_string2")?,
        among: fields.some_text("base_filter")?,
    };
    let found = call.perform(correlate).await?;
    let mut message = json!({
        "filter1_count": found.first,
        "filter2_count": found.second,
        "joint_count": found.both,
        "total_count": found.total,
    });
    for (name, value) in [("npmi", found.npmi), ("npmi_smoothed", found.npmi_smoothed)] {
        if let Some(value) = value {
            message[name] = value.into();
        }
    }
    answer(&message)
}
