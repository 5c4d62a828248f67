//! Assessments of traces as stored.

use serde_json::Value;

use super::{
    Store,
    db::{Tx, json, params, to_json},
};
use api::{
    Result, Time,
    traces::{AssessedValue, Assessment, keys},
};

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct AssessmentChange {
    pub name: Option<String>,
    pub value: Option<AssessedValue>,
    pub rationale: Option<String>,
    pub metadata: std::collections::BTreeMap<String, String>,
    pub valid: Option<bool>,
}

/// What a search compares a value with.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Adds an assessment or replaces the one of its id.
pub(super) fn put(tx: &Tx<'_>, trace: i64, assessment: &Assessment) -> Result<()> {
    tx.execute(
        "INSERT INTO assessments(trace_id, assessment_id, kind, name, text, number, session, valid, \
         assessment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
         ON CONFLICT(trace_id, assessment_id) DO UPDATE SET kind = ?3, name = ?4, text = ?5, \
         number = ?6, session = ?7, valid = ?8, assessment = ?9",
        params![
            trace,
            assessment.id,
            assessment.kind.name(),
            assessment.name,
            text_of(&assessment.value),
            assessment.value.as_f64(),
            assessment.metadata.get(keys::SESSION),
            assessment.valid,
            to_json(assessment)?
        ],
    )?;
    Ok(())
}

fn get(tx: &Tx<'_>, trace: i64, id: &str) -> Result<Option<Assessment>> {
    tx.one(
        "SELECT assessment FROM assessments WHERE trace_id = ?1 AND assessment_id = ?2",
        params![trace, id],
        |row| json(row, 0),
    )
}

/// Makes an assessment valid or not; answers whether it is there.
fn set_valid(tx: &Tx<'_>, trace: i64, id: &str, valid: bool) -> Result<bool> {
    let Some(mut found) = get(tx, trace, id)? else {
        return Ok(false);
    };
    found.valid = valid;
    put(tx, trace, &found)?;
    Ok(true)
}

impl Store {
    /// Adds an assessment; answers whether the one it overrides, if any, is there. Nothing is kept
    /// when it is not.
    pub async fn create_assessment(&self, trace: i64, assessment: Assessment) -> Result<bool> {
        self.db
            .write(move |tx| {
                if let Some(overridden) = &assessment.overrides
                    && !set_valid(tx, trace, overridden, false)?
                {
                    return Ok(false);
                }
                put(tx, trace, &assessment)?;
                Ok(true)
            })
            .await
    }

    pub async fn assessment(&self, trace: i64, id: String) -> Result<Option<Assessment>> {
        self.db.read(move |tx| get(tx, trace, &id)).await
    }

    /// Changes an assessment; none when it is gone.
    pub async fn update_assessment(
        &self,
        trace: i64,
        id: String,
        change: AssessmentChange,
        now: Time,
    ) -> Result<Option<Assessment>> {
        self.db
            .write(move |tx| {
                let Some(mut found) = get(tx, trace, &id)? else {
                    return Ok(None);
                };
                if let Some(name) = change.name {
                    found.name = name;
                }
                if let Some(value) = change.value {
                    found.value = value.value;
                    found.error = value.error;
                }
                found.rationale = change.rationale.or(found.rationale);
                found.metadata.extend(change.metadata);
                found.valid = change.valid.unwrap_or(found.valid);
                found.updated_at = now;
                put(tx, trace, &found)?;
                Ok(Some(found))
            })
            .await
    }

    /// Removes an assessment and makes the one it has overridden valid again.
    pub async fn delete_assessment(&self, trace: i64, id: String) -> Result<()> {
        self.db
            .write(move |tx| {
                let Some(found) = get(tx, trace, &id)? else {
                    return Ok(());
                };
                if let Some(overridden) = &found.overrides {
                    set_valid(tx, trace, overridden, true)?;
                }
                tx.execute(
                    "DELETE FROM assessments WHERE trace_id = ?1 AND assessment_id = ?2",
                    params![trace, id],
                )?;
                Ok(())
            })
            .await
    }
}
