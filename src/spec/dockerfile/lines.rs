//! The instructions of a Dockerfile, the variables in them, and the commands of a line for the shell.

use std::collections::BTreeMap;

/// An instruction with the number of its first line, continued lines joined.
#[derive(Debug)]
pub struct Instruction {
    pub line: usize,
    pub text: String,
    /// The lines of its here-document.
    pub script: Option<String>,
}

pub fn instructions(text: &str) -> Vec<Instruction> {
    let mut all = Vec::new();
    let mut lines = (1..).zip(text.lines());
    let mut begun: Option<(usize, String)> = None;
    while let Some((number, line)) = lines.next() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let (at, mut text) = begun.take().unwrap_or((number, String::new()));
        if let Some(part) = line.trim_end().strip_suffix('\\') {
            text.push_str(part);
            text.push(' ');
            begun = Some((at, text));
            continue;
        }
        text.push_str(line);
        let script = ends_with(&text).map(|end| {
            let inside = lines.by_ref().map(|(_, line)| line);
            let inside = inside.take_while(|line| line.trim() != end);
            inside.collect::<Vec<_>>().join("\n")
        });
        all.push(Instruction {
            line: at,
            text,
            script,
        });
    }
    all.extend(begun.map(|(line, text)| Instruction {
        line,
        text,
        script: None,
    }));
    all.retain(|instruction| !instruction.text.trim().is_empty());
    all
}

/// The word that ends the here-document of an instruction, if it has one.
fn ends_with(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let takes = ["RUN", "COPY", "ADD"];
    let rest = text.split_once("<<").map(|(_, rest)| rest)?;
    let rest = rest.trim_start_matches('-').trim_start_matches(['"', '\'']);
    let end: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    let taken = takes.iter().any(|take| word.eq_ignore_ascii_case(take));
    (taken && !end.is_empty()).then_some(end)
}

/// A text with the values of variables in it. What is not known becomes nothing, or where a shell
/// reads it later (not `all`) stays unless it has a default.
pub fn expand(text: &str, variables: &BTreeMap<String, String>, all: bool) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let escaped = expanded.ends_with('\\');
        let (whole, name, default) = variable(&rest[at..]);
        rest = &rest[at + whole.len()..];
        let default = default.map(str::to_owned).or(all.then(String::new));
        match variables.get(name).cloned().or(default) {
            Some(value) if !escaped && !name.is_empty() => expanded.push_str(&value),
            _ => expanded.push_str(whole),
        }
    }
    expanded + rest
}

/// The variable that a text begins with: all of it, its name, its default.
fn variable(text: &str) -> (&str, &str, Option<&str>) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(inside) = text.strip_prefix("${")
        && let Some(end) = inside.find('}')
    {
        let inside = &inside[..end];
        let (name, default) = match inside.split_once(":-").or_else(|| inside.split_once('-')) {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let name = if name.chars().all(is_name) { name } else { "" };
        return (&text[..end + 3], name, default);
    }
    let end = text[1..]
        .find(|c| !is_name(c))
        .map_or(text.len(), |at| at + 1);
    (&text[..end], &text[1..end], None)
}

/// The commands of a line for the shell, as words without their quotes.
pub fn words_of(text: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some('"') | None, '\\') => {
                if let Some(next) = letters.next().filter(|next| *next != '\n') {
                    word.get_or_insert_default().push(next);
                }
            }
            (None, '#') if word.is_none() => while letters.next_if(|c| *c != '\n').is_some() {},
            (None, letter) if letter.is_whitespace() || ";&|".contains(letter) => {
                if let (Some(word), Some(command)) = (word.take(), commands.last_mut()) {
                    command.push(word);
                }
                if ";&|\n".contains(letter) {
                    commands.push(Vec::new());
                }
            }
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if let (Some(word), Some(command)) = (word, commands.last_mut()) {
        command.push(word);
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// The variables that an `ENV` sets, in its older form one.
pub fn pairs(rest: &str) -> Vec<(String, String)> {
    let (first, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if !first.contains('=') {
        return vec![(first.to_owned(), value.trim().to_owned())];
    }
    let words = words_of(rest).into_iter().flatten();
    let pairs = words.filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}
