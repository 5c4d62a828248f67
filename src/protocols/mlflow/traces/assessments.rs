//! Assessments of traces.

use serde_json::{Value, json};

use super::{trace_error, wire};
use crate::mlflow::{
    call::Call,
    error::Failure,
    fields::{Fields, missing},
    wire::{Answer, answer, done},
};
use api::{
    Error, Time,
    traces::{
        AssessedValue, Assessment, AssessmentError, AssessmentKind, CreateAssessment,
        DeleteAssessment, GetAssessment, UpdateAssessment,
    },
};

const UNSPECIFIED: &str = "SOURCE_TYPE_UNSPECIFIED";

/// What a client assesses, and how.
fn value(fields: &Fields) -> Result<Option<AssessedValue>, Failure> {
    let plain = |of: &Fields, name: &str| of.value(name).cloned().unwrap_or(Value::Null);
    if let Some(feedback) = fields.object("feedback")? {
        let error = match feedback.object("error")? {
            Some(error) => Some(error),
            None => fields.object("error")?,
        };
        let error = error.map(|error| -> Result<_, Failure> {
            Ok(AssessmentError {
                code: error.text("error_code")?.unwrap_or_default(),
                message: error.some_text("error_message")?,
                stack_trace: error.some_text("stack_trace")?,
            })
        });
        return Ok(Some(AssessedValue {
            kind: AssessmentKind::Feedback,
            value: plain(&feedback, "value"),
            error: error.transpose()?,
        }));
    }
    if let Some(expectation) = fields.object("expectation")? {
        let value = match expectation.object("serialized_value")? {
            None => plain(&expectation, "value"),
            Some(serialized) => {
                let text = serialized.required("value")?;
                serde_json::from_str(&text).map_err(|e| {
                    Failure::invalid(format!("The serialized value is not JSON: {e}"))
                })?
            }
        };
        return Ok(Some(AssessedValue {
            kind: AssessmentKind::Expectation,
            value,
            error: None,
        }));
    }
    let issue = fields.object("issue")?;
    Ok(issue.map(|issue| AssessedValue {
        kind: AssessmentKind::Issue,
        value: plain(&issue, "issue_name"),
        error: None,
    }))
}

/// Reads an assessment that is to be made.
pub fn read(fields: &Fields, now: Time) -> Result<Assessment, Failure> {
    let value = value(fields)?.ok_or_else(|| {
        Failure::invalid(
            "Exactly one of `expectation`, `feedback`, or `issue` should be specified.",
        )
    })?;
    let source = fields.object("source")?.unwrap_or_default();
    let time = |name: &str| match fields.some_text(name)? {
        Some(text) => wire::read_time(&text),
        None => Ok(now),
    };
    Ok(Assessment {
        id: fields.text("assessment_id")?.unwrap_or_default(),
        name: fields.required("assessment_name")?,
        kind: value.kind,
        value: value.value,
        error: value.error,
        span: fields.some_text("span_id")?,
        source: source
            .some_text("source_type")?
            .unwrap_or_else(|| UNSPECIFIED.to_owned()),
        source_id: source
            .some_text("source_id")?
            .unwrap_or_else(|| "default".to_owned()),
        rationale: fields.some_text("rationale")?,
        metadata: fields.text_map("metadata")?,
        overrides: fields.some_text("overrides")?,
        valid: true,
        created_at: time("create_time")?,
        updated_at: time("last_update_time")?,
    })
}

fn named(call: &Call) -> Result<(String, String), Failure> {
    let fields = &call.fields;
    Ok((
        fields.required("trace_id")?,
        fields.required("assessment_id")?,
    ))
}

/// MLflow's sentences for what is missing; other errors stay.
fn error(trace: &str, error: Error) -> Failure {
    if error.is_unknown("trace") {
        return trace_error(trace, error);
    }
    error.into()
}

fn one(trace: &str, assessment: &Assessment) -> Answer {
    answer(&json!({"assessment": wire::assessment(trace, assessment)}))
}

pub async fn create(call: Call) -> Answer {
    let trace = call.fields.required("trace_id")?;
    let fields = call.fields.object("assessment")?;
    let fields = fields.ok_or_else(|| missing("assessment"))?;
    let mut assessment = read(&fields, call.service.now())?;
    // The server chooses it.
    assessment.id = String::new();
    let create = CreateAssessment {
        workspace: call.workspace.clone(),
        trace: trace.clone(),
        assessment,
    };
    let made = call.perform(create).await.map_err(|e| error(&trace, e))?;
    one(&trace, &made)
}

pub async fn get(call: Call) -> Answer {
    let (trace, id) = named(&call)?;
    let get = GetAssessment {
        workspace: call.workspace.clone(),
        trace: trace.clone(),
        id,
    };
    let found = call.perform(get).await.map_err(|e| error(&trace, e))?;
    one(&trace, &found)
}

pub async fn update(call: Call) -> Answer {
    let (trace, id) = named(&call)?;
    let fields = call.fields.object("assessment")?;
    let fields = fields.ok_or_else(|| missing("assessment"))?;
    let mask = call.fields.required("update_mask")?;
    let mut update = UpdateAssessment {
        workspace: call.workspace.clone(),
        trace: trace.clone(),
        id,
        name: None,
        value: None,
        rationale: None,
        metadata: std::collections::BTreeMap::new(),
        valid: None,
    };
    for field in mask.split(',').map(str::trim) {
        match field {
            "assessmentName" | "assessment_name" => {
                update.name = Some(fields.required("assessment_name")?);
            }
            "feedback" | "expectation" => update.value = value(&fields)?,
            "rationale" => update.rationale = fields.text("rationale")?,
            "metadata" => update.metadata = fields.text_map("metadata")?,
            "valid" => update.valid = Some(fields.flag("valid")?),
            _ => {}
        }
    }
    let changed = call.perform(update).await.map_err(|e| error(&trace, e))?;
    one(&trace, &changed)
}

pub async fn delete(call: Call) -> Answer {
    let (trace, id) = named(&call)?;
    let delete = DeleteAssessment {
        workspace: call.workspace.clone(),
        trace: trace.clone(),
        id,
    };
    call.perform(delete).await.map_err(|e| error(&trace, e))?;
    done()
}
