//! Dockerfiles, as far as a machine without their images can follow them: which Python packages they
//! install. What else they do is left out and noted.

mod lines;
pub mod start;
#[cfg(test)]
mod tests;

use std::{cell::RefCell, collections::BTreeMap, io, path::Path};

use lines::{Instruction, expand, instructions, pairs, words_of};

use super::{conda, environment, requirements};
use api::{
    Error, Result,
    environments::{Conda, Environment},
};

/// Files larger than this are no lists of packages.
pub const LARGEST: u64 = 1 << 20;
/// Notes longer than this are cut.
const LONGEST_NOTE: usize = 200;

/// The files of a build context, read when they are asked for.
#[derive(Debug, Default)]
pub struct Context {
    files: BTreeMap<String, Content>,
    /// The first that was asked for and is not read yet.
    wanted: RefCell<Option<String>>,
}

#[derive(Debug)]
enum Content {
    Unread,
    /// None for what is large or no text.
    Read(Option<String>),
}

impl Context {
    /// Knows that there is a file.
    pub fn add(&mut self, path: String) {
        self.files.insert(path, Content::Unread);
    }

    /// Gives the text of a file; none for what is large or no text.
    pub fn read(&mut self, path: String, text: Option<String>) {
        self.files.insert(path, Content::Read(text));
    }

    /// The file without whose text the last answer was not the true one.
    pub fn wanted(&self) -> Option<String> {
        self.wanted.take()
    }

    fn text(&self, path: &str) -> Option<String> {
        match self.files.get(path)? {
            Content::Read(text) => text.clone(),
            Content::Unread => {
                let mut wanted = self.wanted.borrow_mut();
                wanted.get_or_insert_with(|| path.to_owned());
                None
            }
        }
    }

    /// The file that a command of the Dockerfile means: at its path, else the one of its name.
    fn find(&self, path: &str) -> Option<String> {
        let plain = path.trim_start_matches(['.', '/']);
        if self.files.contains_key(plain) {
            return self.text(plain);
        }
        let name = plain.rsplit('/').next()?;
        let ending = format!("/{name}");
        let mut found = self
            .files
            .keys()
            .filter(|path| path.as_str() == name || path.ends_with(&ending));
        self.text(found.next().filter(|_| found.next().is_none())?)
    }
}

/// What a Dockerfile of the context makes; `name` is what the environment is called, `arguments` are
/// the values of its build arguments.
pub fn environment(
    context: &Context,
    file: &str,
    name: &str,
    arguments: &BTreeMap<String, String>,
) -> Result<Environment> {
    let file = file.trim_start_matches(['.', '/']);
    let Some(text) = context.text(file) else {
        return Err(
            Error::not_found(format!("The build context has no file `{file}`"))
                .at("environment.build.dockerfile_path"),
        );
    };
    let mut build = Build {
        context,
        file,
        given: arguments,
        global: BTreeMap::new(),
        stages: Vec::new(),
        stage: Stage::default(),
    };
    for instruction in instructions(&text) {
        let number = instruction.line;
        build
            .instruction(&instruction)
            .map_err(|error| match error.target {
                Some(_) => error,
                None => error.at(format!("{file}:{number}")),
            })?;
    }
    Ok(build.finish(name))
}

struct Build<'a> {
    context: &'a Context,
    file: &'a str,
    given: &'a BTreeMap<String, String>,
    /// Arguments that stand before the first stage.
    global: BTreeMap<String, String>,
    stages: Vec<Stage>,
    /// The last one is the one that is kept.
    stage: Stage,
}

#[derive(Debug, Clone, Default)]
struct Stage {
    name: Option<String>,
    /// Arguments and variables; a stage that goes on from this one has them too.
    variables: BTreeMap<String, String>,
    version: Option<String>,
    requirements: Vec<String>,
    /// Path in the image → path in the context, of single files.
    copied: BTreeMap<String, String>,
    notes: Vec<String>,
    conda: Option<Box<Conda>>,
    left_out: Vec<String>,
}

impl Build<'_> {
    fn instruction(&mut self, instruction: &Instruction) -> Result<()> {
        let line = instruction.text.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word.to_ascii_uppercase().as_str() {
            "FROM" => self.from(rest),
            "ARG" => self.argument(rest),
            "ENV" => {
                self.variable(rest);
                self.stage.left_out.push(line.to_owned());
            }
            "RUN" => self.run(rest, instruction.script.as_deref())?,
            "COPY" | "ADD" => self.copied(rest),
            // They change nothing that Python packages need.
            "WORKDIR" | "LABEL" | "EXPOSE" | "CMD" | "ENTRYPOINT" | "USER" | "SHELL"
            | "MAINTAINER" | "STOPSIGNAL" | "HEALTHCHECK" | "VOLUME" => {}
            _ => self.stage.left_out.push(line.to_owned()),
        }
        Ok(())
    }

    /// A stage of an image, or one that goes on from another.
    fn from(&mut self, rest: &str) {
        let rest = expand(rest, &self.global, true);
        let mut words = rest.split_whitespace().filter(|w| !w.starts_with("--"));
        let image = words.next().unwrap_or_default();
        let named = words
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case("as"));
        let name = words.next().filter(|_| named).map(str::to_owned);
        let before = std::mem::take(&mut self.stage);
        self.stages.push(before);
        let is_it = |stage: &&Stage| {
            let own = stage.name.as_deref();
            own.is_some_and(|own| own.eq_ignore_ascii_case(image))
        };
        self.stage = self.stages.iter().find(is_it).cloned().unwrap_or_else(|| {
            let (version, requirements) = match environment::of_image(image, "") {
                Environment::Python {
                    version,
                    requirements,
                    ..
                } => (version, requirements),
                _ => (None, Vec::new()),
            };
            Stage {
                version,
                requirements,
                notes: vec![environment::image_note(image)],
                ..Stage::default()
            }
        });
        self.stage.name = name;
    }

    fn argument(&mut self, rest: &str) {
        for word in words_of(rest).into_iter().flatten() {
            let (name, default) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            let default = default.map(|value| expand(value, &self.stage.variables, true));
            let value = self.given.get(name).cloned().or(default);
            let Some(value) = value.or_else(|| self.global.get(name).cloned()) else {
                continue;
            };
            if self.stages.is_empty() {
                self.global.insert(name.to_owned(), value);
            } else {
                self.stage.variables.insert(name.to_owned(), value);
            }
        }
    }

    fn variable(&mut self, rest: &str) {
        let rest = expand(rest, &self.stage.variables, true);
        self.stage.variables.extend(pairs(&rest));
    }

    /// Remembers under which path of the image a single file is.
    fn copied(&mut self, rest: &str) {
        let rest = expand(rest, &self.stage.variables, true);
        let words: Vec<String> = words_of(&rest).into_iter().flatten().collect();
        if let [source, target] = words.as_slice()
            && !source.starts_with("--")
        {
            let copied = &mut self.stage.copied;
            copied.insert(target.clone(), source.clone());
        }
    }

    /// A path of the image as that of the context, where it was copied from there.
    fn origin<'p>(&'p self, path: &'p str) -> &'p str {
        self.stage.copied.get(path).map_or(path, String::as_str)
    }

    fn run(&mut self, rest: &str, script: Option<&str>) -> Result<()> {
        let mut rest = rest;
        // `--mount`, `--network` and `--security` are about the build.
        while let Some(option) = rest.strip_prefix("--") {
            rest = option
                .split_once(char::is_whitespace)
                .map_or("", |(_, rest)| rest.trim_start());
        }
        if let Ok(words) = serde_json::from_str::<Vec<String>>(rest) {
            return self.command(&words);
        }
        let script = script.filter(|_| rest.starts_with("<<")).unwrap_or(rest);
        for words in words_of(&expand(script, &self.stage.variables, false)) {
            self.command(&words)?;
        }
        Ok(())
    }

    fn command(&mut self, words: &[String]) -> Result<()> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let is_set = |word: &&&str| word.contains('=') && !word.starts_with('-');
        let words = &words[words.iter().take_while(is_set).count()..];
        if let Some(at) = after(words, &["pip", "pip3"], "install") {
            return self.pip(&words[at..]);
        }
        let conda = ["conda", "mamba", "micromamba"];
        let is_conda = words.iter().any(|word| conda.contains(&program(word)));
        if is_conda && words.contains(&"env") {
            return self.conda_file(words);
        }
        if let Some(at) = after(words, &conda, "install") {
            return self.conda(&words[at..]);
        }
        let harmless = [
            "mkdir", "rm", "chmod", "chown", "echo", "ls", "cd", "conda", "true", "set",
        ];
        if words.first().is_some_and(|word| !harmless.contains(word)) {
            self.leave_out(words);
        }
        Ok(())
    }

    fn leave_out(&mut self, words: &[&str]) {
        self.stage.left_out.push(words.join(" "));
    }

    fn pip(&mut self, words: &[&str]) -> Result<()> {
        let mut words = Words(words.iter());
        while let Some((word, value)) = words.next(&WITH_VALUE) {
            match (word, value) {
                ("-r" | "--requirement", Some(file)) => self.requirements_file("-r", file)?,
                ("-c" | "--constraint", Some(file)) => self.requirements_file("-c", file)?,
                ("-e" | "--editable", Some(what)) => {
                    self.leave_out(&["pip install -e", what]);
                }
                (option, Some(value)) if LINES.contains(&option) => {
                    self.stage.requirements.push(format!("{option} {value}"));
                }
                ("--pre" | "--no-index" | "--prefer-binary", None) => {
                    self.stage.requirements.push(word.to_owned());
                }
                (option, _) if option.starts_with('-') => {}
                (file, _) if file.starts_with(['.', '/', '$']) || file.contains('$') => {
                    self.leave_out(&["pip install", file]);
                }
                (package, _) => {
                    requirements::check(package)?;
                    self.stage.requirements.push(package.to_owned());
                }
            }
        }
        Ok(())
    }

    fn requirements_file(&mut self, option: &str, file: &str) -> Result<()> {
        if file.contains("://") || file.contains('$') {
            self.leave_out(&["pip install", option, file]);
            return Ok(());
        }
        self.file(file)?;
        let file = self.origin(file).to_owned();
        let context = self.context;
        let read = |path: &Path| {
            let found = context.find(&path.to_string_lossy());
            found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let line = format!("{option} {file}");
        let lines = requirements::parse_with(&line, self.file, Path::new(self.file), &read)?;
        self.stage.requirements.extend(lines);
        Ok(())
    }

    fn conda(&mut self, words: &[&str]) -> Result<()> {
        let mut words = Words(words.iter());
        let mut packages = Vec::new();
        let mut channels = Vec::new();
        while let Some((word, value)) = words.next(&CONDA_WITH_VALUE) {
            match (word, value) {
                ("-c" | "--channel", Some(channel)) => channels.push(channel.to_owned()),
                ("-f" | "--file", Some(file)) => {
                    let text = self.file(file)?;
                    let lines = text.lines().map(str::trim);
                    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
                    packages.extend(lines.map(|line| format!("  - {line:?}")));
                }
                (option, _) if option.starts_with('-') => {}
                (package, _) => packages.push(format!("  - {package:?}")),
            }
        }
        let text = format!("dependencies:\n{}\n", packages.join("\n"));
        let mut found = conda::parse_stored(&text, self.file)?;
        if let Environment::Python {
            conda: Some(conda), ..
        } = &mut found
        {
            conda.channels = channels;
        }
        self.take(found);
        Ok(())
    }

    fn conda_file(&mut self, words: &[&str]) -> Result<()> {
        let mut rest = Words(words.iter());
        while let Some((word, value)) = rest.next(&CONDA_WITH_VALUE) {
            if let ("-f" | "--file", Some(file)) = (word, value) {
                let text = self.file(file)?;
                self.take(conda::parse_stored(&text, file)?);
                return Ok(());
            }
        }
        self.leave_out(words);
        Ok(())
    }

    fn file(&self, file: &str) -> Result<String> {
        let found = self.context.find(self.origin(file));
        found.ok_or_else(|| Error::not_found(format!("The build context has no file `{file}`")))
    }

    fn take(&mut self, found: Environment) {
        if let Environment::Python {
            version,
            requirements,
            notes,
            conda,
            ..
        } = found
        {
            let stage = &mut self.stage;
            stage.version = version.or(stage.version.take());
            stage.requirements.extend(requirements);
            stage.notes.extend(notes);
            if let Some(conda) = conda {
                let all = stage.conda.get_or_insert_default();
                all.channels.extend(conda.channels);
                all.packages.extend(conda.packages);
                all.stand_ins.extend(conda.stand_ins);
                all.left_out.extend(conda.left_out);
            }
        }
    }

    fn finish(self, name: &str) -> Environment {
        let mut stage = self.stage;
        if !stage.left_out.is_empty() {
            let mut note = format!("Not done of {}: {}", self.file, stage.left_out.join("; "));
            if note.chars().count() > LONGEST_NOTE {
                note = note.chars().take(LONGEST_NOTE).collect();
                note.push('…');
            }
            stage.notes.push(note);
        }
        Environment::Python {
            version: stage.version,
            requirements: stage.requirements,
            notes: stage.notes,
            name: name.to_owned(),
            path: None,
            conda: stage.conda,
            image: None,
        }
    }
}

/// Options of `pip install` that are lines of a requirements file.
const LINES: [&str; 8] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "--no-binary",
    "--only-binary",
    "--trusted-host",
];
/// Options of `pip install` with a value.
const WITH_VALUE: [&str; 38] = [
    "-r",
    "--requirement",
    "-c",
    "--constraint",
    "-e",
    "--editable",
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "--no-binary",
    "--only-binary",
    "--trusted-host",
    "-t",
    "--target",
    "--timeout",
    "--default-timeout",
    "--retries",
    "--root-user-action",
    "--cache-dir",
    "--prefix",
    "--root",
    "--src",
    "--platform",
    "--python-version",
    "--implementation",
    "--abi",
    "--upgrade-strategy",
    "--progress-bar",
    "-C",
    "--config-settings",
    "--cert",
    "--client-cert",
    "--proxy",
    "--log",
    "--use-feature",
    "--python",
];
const CONDA_WITH_VALUE: [&str; 8] = [
    "-c",
    "--channel",
    "-n",
    "--name",
    "-p",
    "--prefix",
    "-f",
    "--file",
];

/// The words after a command, options with their values.
struct Words<'a>(std::slice::Iter<'a, &'a str>);

impl<'a> Words<'a> {
    fn next(&mut self, with_value: &[&str]) -> Option<(&'a str, Option<&'a str>)> {
        let word = *self.0.next()?;
        if with_value.contains(&word) {
            return Some((word, self.0.next().copied()));
        }
        if word.starts_with("--") {
            return Some(match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word, None),
            });
        }
        // `-rfile`
        let attached = word.get(..2).filter(|short| with_value.contains(short));
        Some(match attached {
            Some(short) => (short, Some(word[2..].trim_start_matches('='))),
            None => (word, None),
        })
    }
}

/// The name of a program without its folder.
fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Where the words after `PROGRAM [OPTION…] VERB` begin.
fn after(words: &[&str], programs: &[&str], verb: &str) -> Option<usize> {
    let at = words.iter().position(|word| {
        let name = program(word);
        programs.contains(&name) || (programs.contains(&"pip3") && name.starts_with("pip3."))
    })?;
    let options = words[at + 1..].iter();
    let verb_at = at + 1 + options.take_while(|word| word.starts_with('-')).count();
    (words.get(verb_at) == Some(&verb)).then_some(verb_at + 1)
}
