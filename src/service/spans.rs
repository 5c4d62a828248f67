//! Spans: what arrives of traces step by step, and what the steps say of the whole.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    Action, Caller, Perform, Service, experiments,
    traces::{check_id, maker},
};
use api::{
    Done, Error, Result,
    traces::{LogSpans, Span, SpanStatus, TraceState, attributes, keys},
};
use store::TraceSpans;

/// Characters of a preview.
const PREVIEW: usize = 1000;

#[async_trait]
impl Perform for LogSpans {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        let experiment = experiments::parse_id(&self.experiment_id)?;
        let traces = by_trace(self.spans)?;
        if matches!(caller, Caller::Run { .. }) {
            let names = traces.iter().map(|trace| trace.trace.clone()).collect();
            for made_by in service.store.makers_of_traces(row.id, names).await? {
                service.allow_maker(caller, made_by).await?;
            }
        }
        service
            .store
            .log_spans(row.id, experiment, maker(caller), traces)
            .await?;
        Ok(Done {})
    }
}

fn by_trace(spans: Vec<Span>) -> Result<Vec<TraceSpans>> {
    let mut traces: BTreeMap<String, TraceSpans> = BTreeMap::new();
    for span in spans {
        check_id("trace", &span.trace)?;
        check_id("span", &span.id)?;
        let trace = traces.entry(span.trace.clone()).or_default();
        trace.trace.clone_from(&span.trace);
        tell(trace, &span);
        trace.spans.push(span);
    }
    if traces.is_empty() {
        return Err(Error::invalid("There are no spans to store").at("spans"));
    }
    Ok(traces.into_values().collect())
}

/// Notes what a span says of its trace.
fn tell(trace: &mut TraceSpans, span: &Span) {
    let text = |name: &str| match span.attributes.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    for (attribute, key) in [
        (attributes::SESSION, keys::SESSION),
        (attributes::USER, keys::USER),
    ] {
        if let Some(text) = text(attribute) {
            trace.metadata.entry(key.to_owned()).or_insert(text);
        }
    }
    if span.parent.is_some() {
        return;
    }
    trace.state = Some(match span.status {
        SpanStatus::Error => TraceState::Error,
        SpanStatus::Ok | SpanStatus::Unset => TraceState::Ok,
    });
    let preview = |name: &str, role: &str| Some(preview(span.attributes.get(name)?, role));
    trace.request_preview = preview(attributes::INPUTS, "user");
    trace.response_preview = preview(attributes::OUTPUTS, "assistant");
    trace.tags.insert(keys::NAME.to_owned(), span.name.clone());
    for (name, value) in &span.attributes {
        if let (Some(key), Value::String(value)) = (name.strip_prefix(attributes::TAG), value)
            && !key.is_empty()
        {
            trace.tags.insert(key.to_owned(), value.clone());
        }
    }
}

/// The beginning of what went in or came out: of a conversation, what the role said last.
fn preview(value: &Value, role: &str) -> String {
    let said = last_said(value, role);
    let mut text = match said.as_ref().unwrap_or(value) {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let end = text.char_indices().nth(PREVIEW - 3).map(|(end, _)| end);
    if let Some(end) = end.filter(|_| text.chars().nth(PREVIEW).is_some()) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// What a role said last in a request or answer of a chat model.
fn last_said(value: &Value, role: &str) -> Option<Value> {
    let message = |message: &Value| {
        let by_role = message.get("role").and_then(Value::as_str) == Some(role);
        let content = message.get("content").filter(|content| content.is_string());
        content.filter(|_| by_role).cloned()
    };
    let messages = value.get("messages").or_else(|| value.get("input"));
    if let Some(messages) = messages.and_then(Value::as_array) {
        return messages.iter().rev().find_map(message);
    }
    let choices = value.get("choices")?.as_array()?;
    message(choices.first()?.get("message")?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::preview;

    #[test]
    fn a_preview_is_what_was_said_and_short() {
        let chat = json!({"messages": [
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "answer"},
            {"role": "user", "content": "second"},
        ]});
        assert_eq!(preview(&chat, "user"), "second");
        let answer = json!({"choices": [{"message": {"role": "assistant", "content": "hi"}}]});
        assert_eq!(preview(&answer, "assistant"), "hi");
        assert_eq!(preview(&json!({"x": 1}), "user"), r#"{"x":1}"#);
        let long = preview(&json!("ü".repeat(2000)), "user");
        assert_eq!(long.chars().count(), 1000);
        assert!(long.ends_with("ü..."));
    }
}
