//! The body of a loop as it was written: what it takes, from items or from the round before.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    compile::Scope,
    control::ITEM,
    graph::{Step, Work},
    reuse::is_of_one_run,
    step::{Members, port_of},
};
use api::{Error, Result, names};
use spec::expression::{Expression, Template};

/// `${{parent.jobs.BODY.inputs.NAME}}`, or the name alone.
pub fn input_named(text: &str, body: &str) -> String {
    let inside = text
        .trim()
        .strip_prefix("${{")
        .and_then(|rest| rest.strip_suffix("}}"));
    let inside = inside.unwrap_or(text).trim();
    let prefix = format!("parent.jobs.{body}.inputs.");
    inside.strip_prefix(&prefix).unwrap_or(inside).to_owned()
}

/// The step that a loop runs, as it was written.
pub struct Body<'a> {
    pub name: &'a str,
    pub members: &'a Members,
}

impl Body<'_> {
    /// What it takes its inputs by, where it names such a thing.
    pub fn component(&self) -> Option<&Members> {
        let component = self.members.get("component");
        let component = component.or_else(|| self.members.get("trial"));
        component.and_then(Value::as_object)
    }

    /// Its inputs: those of its component, or its own.
    fn inputs(&self) -> impl Iterator<Item = &String> {
        let taken = self.component().and_then(inputs_of);
        let own = inputs_of(self.members);
        taken.into_iter().chain(own).flat_map(Map::keys)
    }

    pub fn has_input(&self, input: &str) -> bool {
        self.inputs().any(|name| name == input)
    }

    /// Its inputs with what is said of them. Those of a command without a component are what the
    /// command uses.
    pub fn takes(&self) -> Members {
        if let Some(component) = self.component() {
            return inputs_of(component).cloned().unwrap_or_default();
        }
        let command = self.members.get("command").and_then(Value::as_str);
        let template = Template::parse(command.unwrap_or_default());
        let input = |expression: &Expression| match expression {
            Expression::Input(name) => Some(name.clone()),
            _ => None,
        };
        let needed: BTreeSet<String> = template.needed().filter_map(input).collect();
        let used = template.expressions().filter_map(input);
        used.map(|name| {
            let port = json!({"optional": !needed.contains(&name)});
            (name, port)
        })
        .collect()
    }

    /// Sees that it has the inputs that an item gives, and gets what its command needs.
    pub fn check(&self, item: &Members) -> Result<()> {
        let takes = self.takes();
        if self.component().is_some() {
            return item.keys().try_for_each(|name| known_input(&takes, name));
        }
        let own = inputs_of(self.members);
        let given =
            |name: &str| item.contains_key(name) || own.is_some_and(|o| o.contains_key(name));
        let missing = takes
            .iter()
            .find(|(name, port)| port.get("optional") != Some(&Value::Bool(true)) && !given(name));
        missing.map_or(Ok(()), |(name, _)| Err(not_given(name)))
    }

    /// With an item over what it was given.
    pub fn with(&self, item: Members) -> Members {
        let mut members = self.members.clone();
        match members.get_mut("inputs") {
            Some(Value::Object(inputs)) => inputs.extend(item),
            _ => {
                members.insert("inputs".to_owned(), Value::Object(item));
            }
        }
        members
    }

    /// With inputs that come with each item where it is given nothing.
    pub fn open(&self, scope: &mut Scope) -> Members {
        let own = inputs_of(self.members);
        let searched = self.members.get("search_space").and_then(Value::as_object);
        let given = |name: &String| {
            let holders = [own, searched].into_iter().flatten();
            holders.into_iter().any(|holder| holder.contains_key(name))
        };
        let takes = self.takes();
        let mut item = Members::new();
        for name in takes.keys().filter(|name| !given(name)) {
            let parent = format!("{ITEM}{name}");
            let expression = Expression::ParentInput(parent.clone()).to_string();
            item.insert(name.clone(), Value::from(expression));
            scope.inputs.later.insert(parent);
        }
        // Items may replace what it is given.
        scope.late = takes.keys().chain(self.inputs()).cloned().collect();
        self.with(item)
    }
}

fn inputs_of(holder: &Members) -> Option<&Members> {
    holder.get("inputs").and_then(Value::as_object)
}

/// Refuses an input that a body with these does not have.
pub fn known_input(takes: &Members, name: &str) -> Result<()> {
    if port_of(takes, name).is_some() {
        return Ok(());
    }
    let nearest = names::nearest(name, takes.keys().map(String::as_str));
    Err(Error::unknown("input", name, " of the body", nearest))
}

pub fn not_given(name: &str) -> Error {
    Error::invalid(format!("The input `{name}` of the body is not given")).hint(format!(
        "Give it in each item, or once in the inputs of the body: {{{name}: VALUE}}"
    ))
}

/// Sees that rounds do not write over each other's outputs.
pub fn check_places(body: &Step) -> Result<()> {
    match &body.work {
        Work::Pipeline(nested) => return nested.graph.steps.iter().try_for_each(check_places),
        Work::Loop(work) => return work.kind.body().map_or(Ok(()), check_places),
        Work::If(_) => return Ok(()),
        Work::Command(_) | Work::Sweep(_) => {}
    }
    for (name, output) in body.outputs().into_iter().flatten() {
        let wrong = |what: &str, key: &str, hint: &str| {
            Err(Error::invalid(format!(
                "Every round would {what} the output `{name}` of `{}`",
                body.name
            ))
            .at(format!("body.outputs.{name}.{key}"))
            .hint(hint))
        };
        if !output.path.is_empty() && !is_of_one_run(&output.path) {
            let hint = "Put ${{name}}, which is the name of the round's run, into the path of the body's own output, or leave the path out";
            return wrong("write to the same place, which is that of", "path", hint);
        }
        if output.name.is_some() && output.version.is_some() {
            return wrong(
                "register the same version of",
                "version",
                "Leave the version out: each round then registers a new one",
            );
        }
    }
    Ok(())
}
