//! Steps that decide which others run, or how often: `if_else`, `do_while` and `parallel_for`, compiled.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{
    body::{Body, check_places, input_named},
    compile::{Scope, as_shown},
    given::{Given, is_data, is_parsed},
    graph::{Binding, Choice, Items, Loop, LoopKind, Source, Step, Work},
    items::items_of,
    step::{Members, Parents, Steps, filled},
    values::is_true,
};
use api::{Error, Result, jobs::JobOutput, names};
use spec::{
    expression::Expression,
    graph::{of_step, step_named},
};

/// The input by which a condition comes that is not known before.
pub const CONDITION: &str = "@condition";
/// The input by which items come that are not known before.
pub const ITEMS: &str = "@items";
/// How inputs are called that each item gives.
pub const ITEM: &str = "@item.";
/// Rounds of a loop, at most.
pub const ROUNDS: usize = 1000;
/// Steps of a pipeline with all rounds of its loops that are known, at most.
pub const STEPS: usize = 20_000;

/// The steps that a step may name.
pub struct Around<'a> {
    pub jobs: &'a Members,
    /// The positions of the steps; the body of a loop has that of the loop.
    pub positions: HashMap<&'a str, usize>,
    /// Body → its loop.
    pub bodies: BTreeMap<&'a str, &'a str>,
    /// Steps that may have outputs that are values.
    valued: HashSet<&'a str>,
}

impl<'a> Around<'a> {
    pub fn of(jobs: &'a Members, errors: &mut Vec<Error>) -> Self {
        let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, step) in jobs {
            let Some(body) = body_of(step) else { continue };
            let Some((body, members)) = jobs.get_key_value(&body) else {
                continue;
            };
            let mut wrong = |message: String| {
                errors
                    .push(Error::invalid(of_step(name) + &message).at(format!("jobs.{name}.body")));
            };
            if is_control(members) {
                wrong(format!(
                    "`{body}` decides about others itself; put it and them into a pipeline component"
                ));
            } else if let Some(other) = bodies.insert(body, name) {
                wrong(format!("`{body}` is the body of `{other}` already"));
            }
        }
        let own = jobs.keys().map(String::as_str);
        let own = own.filter(|name| !bodies.contains_key(name));
        let mut positions: HashMap<&str, usize> = own.zip(0..).collect();
        for (body, of) in &bodies {
            if let Some(at) = positions.get(of).copied() {
                positions.insert(body, at);
            }
        }
        let mut around = Self {
            jobs,
            positions,
            bodies,
            valued: HashSet::new(),
        };
        let valued = jobs.iter().filter(|(name, step)| {
            let component = step.get("component").or_else(|| step.get("trial"));
            let said = component.and_then(|component| component.get("outputs"));
            let outputs = [said, step.get("outputs")].into_iter().flatten();
            let mut outputs = outputs.filter_map(Value::as_object).flat_map(Members::keys);
            let value = |output: &String| {
                let kind = around.type_of(name, output);
                kind.is_some_and(|kind| !is_data(kind))
            };
            body_of(step).is_some() || outputs.any(value)
        });
        let valued = valued.map(|(name, _)| name.as_str()).collect();
        around.valued = valued;
        around
    }

    /// The type that an output of a step is said to have.
    pub fn type_of(&self, step: &str, output: &str) -> Option<&'a str> {
        let step = match self.jobs.get(step) {
            Some(control) => body_of(control)
                .and_then(|body| self.jobs.get(&body))
                .unwrap_or(control),
            None => return None,
        };
        let component = step.get("component").or_else(|| step.get("trial"));
        let said = |holder: &'a Value| holder.get("outputs")?.get(output)?.get("type")?.as_str();
        component.and_then(said).or_else(|| said(step))
    }

    /// Why the output of a step that is bound to an input is not what a component takes.
    pub fn misfit(&self, name: &str, given: &Value, port: Option<&Value>) -> Option<Error> {
        let wanted = port?.get("type")?.as_str()?;
        let text = given.as_str().or_else(|| given.get("path")?.as_str())?;
        let Some(Expression::StepOutput { step, output }) = Expression::only(text) else {
            return None;
        };
        let made = self.type_of(&step, &output)?;
        // A text may be of any type; that is seen when it is there.
        let fits = match (made, wanted) {
            ("string", _) => !is_data(wanted),
            ("integer" | "number", "integer" | "number" | "string") | ("boolean", "string") => true,
            (made, _) if is_parsed(made) => made == wanted,
            _ => !is_parsed(wanted),
        };
        (!fits).then(|| {
            Error::invalid(format!(
                "The input `{name}` is of type `{wanted}`; the output `{output}` of the step `{step}` is of type `{made}`"
            ))
        })
    }

    /// Whether an output of a step is a value.
    pub fn is_value(&self, step: &str, output: &str) -> bool {
        let kind = || self.type_of(step, output);
        self.valued.contains(step) && kind().is_some_and(|kind| !is_data(kind))
    }
}

fn is_control(step: &Value) -> bool {
    let kind = step.get("type").and_then(Value::as_str);
    kind.is_some_and(|kind| matches!(kind, "if_else" | "do_while" | "parallel_for"))
}

/// The body of a loop.
fn body_of(step: &Value) -> Option<String> {
    let kind = step.get("type").and_then(Value::as_str)?;
    if !matches!(kind, "do_while" | "parallel_for") {
        return None;
    }
    step_named(step.get("body")?.as_str()?)
}

/// One or more texts.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn step_of(name: &str, work: Work, bindings: BTreeMap<String, Binding>) -> Step {
    let after = after(&bindings);
    Step {
        name: name.to_owned(),
        written: None,
        display_name: None,
        tags: BTreeMap::new(),
        after,
        when: Vec::new(),
        bindings,
        work,
    }
}

/// The steps whose outputs bindings need.
pub fn after(bindings: &BTreeMap<String, Binding>) -> Vec<usize> {
    let mut after: Vec<usize> = bindings
        .values()
        .filter_map(|binding| match &binding.from {
            Source::Output { step, .. } => Some(*step),
            Source::Parent(_) => None,
        })
        .collect();
    after.sort_unstable();
    after.dedup();
    after
}

impl Steps<'_> {
    /// Runs one of two blocks of steps.
    pub(super) fn if_else(
        &self,
        name: &str,
        step: &Members,
        scope: &Scope,
        around: &Around<'_>,
    ) -> Result<Step> {
        let step = filled(step, &scope.inputs)?;
        let mut bindings = BTreeMap::new();
        let at = |error: Error| error.at("condition");
        let condition = step.get("condition").unwrap_or(&Value::Null);
        let position = |name: &str| around.positions.get(name).copied();
        let known = match scope.inputs.given(condition, &position, None).map_err(at)? {
            Given::Known(value) => {
                let text = spec::described::python_text(&value);
                Some(is_true(&text).map_err(|error| {
                    at(Error::invalid(format!("The condition: {}", error.message)))
                })?)
            }
            Given::Later(binding) => {
                bindings.insert(CONDITION.to_owned(), as_value(binding));
                None
            }
            Given::Nothing => {
                return Err(at(Error::invalid(
                    "The condition is an input that is not given",
                )));
            }
        };
        let block = |key: &str| -> Result<Vec<usize>> {
            let mut steps = Vec::new();
            for text in texts(step.get(key)) {
                let named = step_named(text);
                let found = named.as_deref().and_then(position);
                steps.push(found.ok_or_else(|| {
                    Error::invalid(format!("`{text}` names no step"))
                        .at(key)
                        .hint("Write ${{parent.jobs.STEP}}")
                })?);
            }
            Ok(steps)
        };
        let (yes, no) = (block("true_block")?, block("false_block")?);
        if yes.is_empty() && no.is_empty() {
            return Err(
                Error::invalid("Neither a true_block nor a false_block is given")
                    .at("true_block")
                    .hint("Name a step: true_block: ${{parent.jobs.STEP}}"),
            );
        }
        if let Some(both) = yes.iter().find(|at| no.contains(at)) {
            let named = around.positions.iter().filter(|(_, at)| *at == both);
            let named = named.map(|(name, _)| *name).min().unwrap_or_default();
            return Err(
                Error::invalid(format!("The step `{named}` is in both blocks")).at("false_block"),
            );
        }
        Ok(step_of(name, Work::If(Choice { known, yes, no }), bindings))
    }

    /// Runs a step again and again, or once for each of some items.
    pub(super) async fn looped(
        &mut self,
        name: &str,
        step: &Members,
        scope: &Scope,
        around: &Around<'_>,
    ) -> Result<(Step, Parents)> {
        let step = &filled(step, &scope.inputs)?;
        let text = step.get("body").and_then(Value::as_str).unwrap_or_default();
        let body = step_named(text);
        let body = body.and_then(|body| Some((around.jobs.get(&body)?.as_object()?, body)));
        let Some((members, body)) = body else {
            return Err(Error::invalid(format!("`{text}` names no step"))
                .at("body")
                .hint("Write ${{parent.jobs.STEP}}"));
        };
        let parts = Body {
            name: &body,
            members,
        };
        let mut bindings = BTreeMap::new();
        let is_while = step.get("type").is_some_and(|kind| kind == "do_while");
        let (kind, mut sample, parents) = if is_while {
            self.repeated(step, &parts, scope, around, &mut bindings)
                .await?
        } else {
            self.for_each(step, &parts, scope, around, &mut bindings)
                .await?
        };
        if kind.repeats() {
            check_places(&sample)?;
        }
        sample.after.clear();
        let mut outputs: BTreeMap<String, JobOutput> =
            sample.outputs().cloned().unwrap_or_default();
        let mut values = Vec::new();
        for (output, made) in &mut outputs {
            made.name = None;
            made.version = None;
            if around.is_value(&body, output) {
                values.push(output.clone());
            } else if !is_while {
                "mltable".clone_into(&mut made.kind);
            }
        }
        let parents = parents.into_iter().chain(loop_outputs(step));
        let mut definition = as_shown(step);
        definition.insert("body".to_owned(), Value::from(text));
        let work = Loop {
            kind,
            outputs,
            values,
            definition,
            takes: parts.takes(),
            closed: parts.component().is_some(),
        };
        let mut made = step_of(name, Work::Loop(Box::new(work)), bindings);
        made.written = step.get("type").and_then(Value::as_str).map(str::to_owned);
        Ok((made, parents.collect()))
    }

    async fn repeated(
        &mut self,
        step: &Members,
        body: &Body<'_>,
        scope: &Scope,
        around: &Around<'_>,
        bindings: &mut BTreeMap<String, Binding>,
    ) -> Result<(LoopKind, Step, Parents)> {
        let written = step.get("mapping").and_then(Value::as_object);
        let replaced = written.into_iter().flat_map(|mapping| mapping.values());
        let replaced = replaced.flat_map(|inputs| texts(Some(inputs)));
        let inner = Scope {
            late: replaced.map(|text| input_named(text, body.name)).collect(),
            ..scope.clone()
        };
        let made = self.made(body.name, body.members, &inner, around);
        let (mut round, parents) = made.await?;
        hand_in(&mut round, "", bindings)?;
        let output_named = |text: &str, key: &str| {
            let named = match Expression::only(text) {
                Some(Expression::StepOutput { step, output }) if step == body.name => Some(output),
                Some(_) => None,
                None => Some(text.to_owned()),
            };
            let made = round.outputs();
            let named = named.filter(|name| made.is_some_and(|made| made.contains_key(name)));
            named.ok_or_else(|| {
                Error::invalid(format!("`{text}` is no output of the body `{}`", body.name)).at(key)
            })
        };
        let (mut condition, mut always) = (None, true);
        match step
            .get("condition")
            .filter(|condition| !condition.is_null())
        {
            Some(Value::Bool(known)) => always = *known,
            Some(Value::String(text)) => match is_true(text) {
                Ok(known) => always = known,
                Err(_) => condition = Some(output_named(text, "condition")?),
            },
            _ => {}
        }
        let mut mapping = BTreeMap::new();
        for (output, inputs) in written.into_iter().flatten() {
            let at = format!("mapping.{output}");
            let output = output_named(output, &at)?;
            for text in texts(Some(inputs)) {
                let input = input_named(text, body.name);
                if !body.has_input(&input) {
                    return Err(Error::invalid(format!(
                        "`{text}` is no input of the body `{}`",
                        body.name
                    ))
                    .at(at));
                }
                let is_value = around.is_value(body.name, &output);
                mapping.insert(input, (output.clone(), is_value));
            }
        }
        let most = step
            .get("limits")
            .and_then(|limits| limits.get("max_iteration_count"));
        let most = most
            .and_then(Value::as_u64)
            .and_then(|most| usize::try_from(most).ok());
        let most = most
            .filter(|most| (1..=ROUNDS).contains(most))
            .ok_or_else(|| {
                Error::invalid(format!("It is a number from 1 to {ROUNDS}"))
                    .at("limits.max_iteration_count")
            })?;
        let kind = LoopKind::While {
            body: round.clone(),
            condition,
            mapping,
            most: if always { most } else { 1 },
        };
        Ok((kind, round, parents))
    }

    async fn for_each(
        &mut self,
        step: &Members,
        body: &Body<'_>,
        scope: &Scope,
        around: &Around<'_>,
        bindings: &mut BTreeMap<String, Binding>,
    ) -> Result<(LoopKind, Step, Parents)> {
        let at = |error: Error| error.at("items");
        let at_once = match step.get("max_concurrency").filter(|most| !most.is_null()) {
            None => None,
            Some(most) => {
                let most = most.as_u64().and_then(|most| usize::try_from(most).ok());
                Some(most.filter(|most| *most > 0).ok_or_else(|| {
                    Error::invalid("It is a number from 1 up").at("max_concurrency")
                })?)
            }
        };
        let written = step.get("items").unwrap_or(&Value::Null);
        let position = |name: &str| around.positions.get(name).copied();
        let given = match written {
            Value::String(_) => scope.inputs.given(written, &position, None).map_err(at)?,
            other => Given::Known(other.clone()),
        };
        let (items, sample, parents) = match given {
            Given::Known(items) => {
                let items = items_of(&items).map_err(at)?;
                let (rounds, parents) = self
                    .rounds_known(body, &items, scope, around, bindings)
                    .await?;
                let sample = match rounds.first() {
                    Some(round) => round.clone(),
                    None => return Err(at(Error::invalid("There are no items"))),
                };
                (Items::Known(rounds), sample, parents)
            }
            Given::Later(binding) => {
                bindings.insert(ITEMS.to_owned(), as_value(binding));
                let mut scope = scope.clone();
                let members = body.open(&mut scope);
                let (mut round, parents) = self.made(body.name, &members, &scope, around).await?;
                hand_in(&mut round, "", bindings)?;
                (Items::Later(round.clone()), round, parents)
            }
            Given::Nothing => {
                return Err(at(Error::invalid(
                    "The items are an input that is not given",
                )));
            }
        };
        Ok((LoopKind::Each { items, at_once }, sample, parents))
    }

    /// A step for each item.
    async fn rounds_known(
        &mut self,
        body: &Body<'_>,
        items: &[(String, Members)],
        scope: &Scope,
        around: &Around<'_>,
        bindings: &mut BTreeMap<String, Binding>,
    ) -> Result<(Vec<Step>, Parents)> {
        let mut rounds = Vec::with_capacity(items.len());
        let mut parents = Parents::new();
        let before = self.errors.len();
        for (key, item) in items {
            let of_item = |error: Error| Error {
                message: format!("Item `{key}`: {}", error.message),
                ..error
            };
            body.check(item).map_err(of_item)?;
            let members = body.with(item.clone());
            let name = format!("{}_{key}", body.name);
            let made = self.made(&name, &members, scope, around).await;
            let (mut round, own) = made.map_err(of_item)?;
            hand_in(&mut round, key, bindings)?;
            parents = own;
            rounds.push(round);
            if self.errors.len() > before {
                // The same is wrong with the others.
                break;
            }
        }
        Ok((rounds, parents))
    }
}

/// The outputs of a loop that are the pipeline's.
fn loop_outputs(step: &Members) -> Parents {
    let outputs = step.get("outputs").and_then(Value::as_object);
    let outputs = outputs.into_iter().flatten();
    outputs
        .filter_map(|(name, written)| {
            let text = written.as_str().or_else(|| written.get("path")?.as_str())?;
            match Expression::only(text) {
                Some(Expression::ParentOutput(parent)) => Some((name.clone(), parent)),
                _ => None,
            }
        })
        .collect()
}

fn as_value(binding: Binding) -> Binding {
    Binding {
        value: true,
        ..binding
    }
}

/// Lets a round get by the loop what it would get by itself. Where another round gets something else
/// by the same name, it is called after the round, too.
fn hand_in(round: &mut Step, key: &str, bindings: &mut BTreeMap<String, Binding>) -> Result<()> {
    round.after.clear();
    for (name, binding) in &mut round.bindings {
        if matches!(&binding.from, Source::Parent(parent) if parent.starts_with(ITEM)) {
            continue;
        }
        if name.starts_with('@') {
            // So are called what loops get themselves.
            return names::check_port(name).map_err(|error| error.at(format!("inputs.{name}")));
        }
        let by = match bindings.get(name) {
            Some(other) if other != binding => format!("@{key}.{name}"),
            _ => name.clone(),
        };
        bindings.insert(by.clone(), binding.clone());
        binding.from = Source::Parent(by);
        binding.value = false;
    }
    Ok(())
}
