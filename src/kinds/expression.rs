//! `${{…}}` and `$[[…]]`: what strings leave open until a job runs.

#[cfg(test)]
mod tests;

/// What an expression stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// `inputs.NAME`: an input of the job, step or component itself.
    Input(String),
    /// `outputs.NAME`.
    Output(String),
    /// `parent.inputs.NAME`: an input of the pipeline.
    ParentInput(String),
    /// `parent.outputs.NAME`.
    ParentOutput(String),
    /// `parent.jobs.STEP.outputs.NAME`.
    StepOutput { step: String, output: String },
    /// `parent.jobs.STEP`.
    Step(String),
    /// `search_space.NAME`.
    SearchSpace(String),
    /// `name`: the job's name.
    Name,
    /// Anything else, such as `default_datastore` and `creation_context.trigger_time`.
    Other(String),
}

/// Whether a text may have expressions in it. Most that have are nothing else.
pub fn is_open(text: &str) -> bool {
    text.starts_with("${{") || text.contains("${{")
}

impl Expression {
    /// Reads what stands between `${{` and `}}`.
    pub fn parse(text: &str) -> Self {
        let text = word(text);
        let (first, rest) = part(text);
        let named = |rest: Option<&str>| rest.map(name_of);
        let known = match first {
            "inputs" => named(rest).map(Self::Input),
            "outputs" => named(rest).map(Self::Output),
            "search_space" => named(rest).map(Self::SearchSpace),
            "name" if rest.is_none() => Some(Self::Name),
            "parent" => rest.and_then(Self::of_parent),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other(text.to_owned()))
    }

    /// The expression, if a string is nothing else: as [`Template::only`], without splitting it.
    pub fn only(text: &str) -> Option<Self> {
        if let Some((step, output)) = Self::step_output(text) {
            let (step, output) = (step.to_owned(), output.to_owned());
            return Some(Self::StepOutput { step, output });
        }
        let inside = text.strip_prefix("${{")?;
        let end = inside.find("}}")?;
        (end + 2 == inside.len()).then(|| Self::parse(&inside[..end]))
    }

    /// Step and output, if a string is nothing but `${{parent.jobs.STEP.outputs.OUTPUT}}` without blanks.
    /// A file may bind thousands of inputs so: nothing is copied.
    pub fn step_output(text: &str) -> Option<(&str, &str)> {
        let inside = text.strip_prefix("${{parent.jobs.")?.strip_suffix("}}")?;
        let (step, output) = inside.split_once('.')?;
        let output = output.strip_prefix("outputs.")?;
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'}';
        inside.bytes().all(plain).then_some((step, output))
    }

    /// What follows `parent.`
    fn of_parent(text: &str) -> Option<Self> {
        let (first, rest) = part(text);
        let rest = rest?;
        match first {
            "inputs" => Some(Self::ParentInput(name_of(rest))),
            "outputs" => Some(Self::ParentOutput(name_of(rest))),
            "jobs" => {
                let (step, rest) = part(rest);
                let step = step.to_owned();
                let Some(rest) = rest else {
                    return Some(Self::Step(step));
                };
                let (outputs, output) = part(rest);
                let output = output.filter(|_| outputs == "outputs").map(name_of)?;
                Some(Self::StepOutput { step, output })
            }
            _ => None,
        }
    }
}

/// Text up to the first dot, and what comes after that.
fn part(text: &str) -> (&str, Option<&str>) {
    match text.split_once('.') {
        Some((first, rest)) => (word(first), Some(rest)),
        None => (word(text), None),
    }
}

/// A name of several parts, without blanks around these.
fn name_of(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (at, part) in text.split('.').enumerate() {
        if at > 0 {
            name.push('.');
        }
        name.push_str(word(part));
    }
    name
}

/// Without blanks around it. Most have none, which the outer bytes tell.
fn word(text: &str) -> &str {
    let plain = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    let bytes = text.as_bytes();
    if plain(bytes.first()) && plain(bytes.last()) {
        text
    } else {
        text.trim()
    }
}

impl std::fmt::Display for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Input(name) => write!(f, "${{{{inputs.{name}}}}}"),
            Self::Output(name) => write!(f, "${{{{outputs.{name}}}}}"),
            Self::ParentInput(name) => write!(f, "${{{{parent.inputs.{name}}}}}"),
            Self::ParentOutput(name) => write!(f, "${{{{parent.outputs.{name}}}}}"),
            Self::StepOutput { step, output } => {
                write!(f, "${{{{parent.jobs.{step}.outputs.{output}}}}}")
            }
            Self::Step(step) => write!(f, "${{{{parent.jobs.{step}}}}}"),
            Self::SearchSpace(name) => write!(f, "${{{{search_space.{name}}}}}"),
            Self::Name => f.write_str("${{name}}"),
            Self::Other(text) => write!(f, "${{{{{text}}}}}"),
        }
    }
}

/// What tells the value of an expression after a text.
pub type Values<'a, E> = &'a mut dyn FnMut(&Expression, &str) -> Result<Option<String>, E>;

/// A string with expressions in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Expression(Expression),
    /// `$[[…]]`: there only if all expressions inside have a value.
    Optional(Template),
}

impl Template {
    /// Splits a string. What is opened and never closed is text, as is an optional block without an
    /// expression (`$[[inputs.x]]`).
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = begins(rest) {
            push_text(&mut pieces, &rest[..at]);
            rest = &rest[at..];
            let close = if rest.starts_with("${{") { "}}" } else { "]]" };
            let Some(end) = rest.find(close) else { break };
            let inside = &rest[3..end];
            if close == "}}" {
                pieces.push(Piece::Expression(Expression::parse(inside)));
            } else {
                let block = Self::parse(inside);
                if block.expressions().next().is_some() {
                    pieces.push(Piece::Optional(block));
                } else {
                    push_text(&mut pieces, &rest[..end + 2]);
                }
            }
            rest = &rest[end + 2..];
        }
        push_text(&mut pieces, rest);
        Self(pieces)
    }

    /// All expressions, also those in optional blocks.
    pub fn expressions(&self) -> Box<dyn Iterator<Item = &Expression> + '_> {
        Box::new(
            self.0
                .iter()
                .flat_map(|piece| -> Box<dyn Iterator<Item = &Expression> + '_> {
                    match piece {
                        Piece::Text(_) => Box::new(std::iter::empty()),
                        Piece::Expression(expression) => Box::new(std::iter::once(expression)),
                        Piece::Optional(block) => block.expressions(),
                    }
                }),
        )
    }

    /// The expressions that are not in optional blocks.
    pub fn needed(&self) -> impl Iterator<Item = &Expression> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Expression(expression) => Some(expression),
            Piece::Text(_) | Piece::Optional(_) => None,
        })
    }

    /// The expression, if the string is nothing else.
    pub fn only(&self) -> Option<&Expression> {
        match self.0.as_slice() {
            [Piece::Expression(expression)] => Some(expression),
            _ => None,
        }
    }

    /// The string with values for its expressions. `value` answers none for an optional input that is
    /// not given: it becomes nothing, and with it the optional block around it.
    pub fn fill<E>(
        &self,
        value: &mut dyn FnMut(&Expression) -> Result<Option<String>, E>,
    ) -> Result<String, E> {
        self.fill_after(&mut |expression, _| value(expression))
    }

    /// The same; `value` gets what the string has before the expression, too.
    pub fn fill_after<E>(&self, value: Values<'_, E>) -> Result<String, E> {
        let mut filled = String::new();
        self.fill_into(&mut filled, value)?;
        Ok(filled)
    }

    fn fill_into<E>(&self, filled: &mut String, value: Values<'_, E>) -> Result<(), E> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Expression(expression) => {
                    let value = value(expression, filled)?;
                    filled.push_str(value.as_deref().unwrap_or_default());
                }
                Piece::Optional(block) => {
                    let mut complete = true;
                    for expression in block.expressions() {
                        complete &= value(expression, filled)?.is_some();
                    }
                    if complete {
                        block.fill_into(filled, value)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Where the next expression or optional block begins.
fn begins(text: &str) -> Option<usize> {
    let mut dollars = text.match_indices('$').map(|(at, _)| at);
    dollars.find(|at| matches!(text.get(at + 1..at + 3), Some("{{" | "[[")))
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(before)) => before.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}
