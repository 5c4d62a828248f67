//! Assessments of traces.

use super::{
    Action, Caller, Perform, Service,
    traces::{check_id, no_such_trace, with_id},
};
use api::{
    Done, Error, Result,
    traces::{Assessment, CreateAssessment, DeleteAssessment, GetAssessment, UpdateAssessment},
};
use async_trait::async_trait;
use store::AssessmentChange;

fn missing(trace: &str, id: &str) -> Error {
    Error::not_found(format!("The trace `{trace}` has no assessment `{id}`"))
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("The name of an assessment cannot be empty").at("name"));
    }
    Ok(())
}

#[async_trait]
impl Perform for CreateAssessment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Assessment> {
        let (_, trace) = service
            .enter_trace(caller, &self.workspace, &self.trace, Action::WriteRuns)
            .await?;
        check_name(&self.assessment.name)?;
        let assessment = with_id(self.assessment)?;
        let overridden = assessment.overrides.clone().unwrap_or_default();
        let created = service
            .store
            .create_assessment(trace.id, assessment.clone())
            .await?;
        if !created {
            return Err(missing(&self.trace, &overridden).at("overrides"));
        }
        Ok(assessment)
    }
}

#[async_trait]
impl Perform for GetAssessment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Assessment> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let Some(trace) = service.store.trace(row.id, &self.trace).await? else {
            return Err(no_such_trace(&row, &self.trace));
        };
        match service.store.assessment(trace.id, self.id.clone()).await? {
            Some(assessment) => Ok(assessment),
            None => Err(missing(&self.trace, &self.id)),
        }
    }
}

#[async_trait]
impl Perform for UpdateAssessment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Assessment> {
        let (_, trace) = service
            .enter_trace(caller, &self.workspace, &self.trace, Action::WriteRuns)
            .await?;
        check_id("assessment", &self.id)?;
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        let known = service.store.assessment(trace.id, self.id.clone()).await?;
        let known = known.ok_or_else(|| missing(&self.trace, &self.id))?;
        if let Some(value) = &self.value
            && value.kind != known.kind
        {
            return Err(Error::invalid(format!(
                "Cannot update {} value on {} assessment",
                value.kind.name(),
                known.kind.name()
            ))
            .at("value"));
        }
        let change = AssessmentChange {
            name: self.name,
            value: self.value,
            rationale: self.rationale,
            metadata: self.metadata,
            valid: self.valid,
        };
        let changed = service
            .store
            .update_assessment(trace.id, self.id.clone(), change, service.now())
            .await?;
        changed.ok_or_else(|| missing(&self.trace, &self.id))
    }
}

#[async_trait]
impl Perform for DeleteAssessment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let (_, trace) = service
            .enter_trace(caller, &self.workspace, &self.trace, Action::WriteRuns)
            .await?;
        service.store.delete_assessment(trace.id, self.id).await?;
        Ok(Done {})
    }
}
