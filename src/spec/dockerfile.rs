//! Dockerfiles, as far as a machine without their images can follow them: which Python packages they
//! install. What else they do is left out and noted.

use std::{collections::BTreeMap, io, path::Path};

use super::{conda, environment, requirements};
use api::{Error, Result, environments::Environment};

/// Files larger than this are no lists of packages.
pub const LARGEST: u64 = 1 << 20;
/// Notes longer than this are cut.
const LONGEST_NOTE: usize = 200;

/// The files of a build context.
#[derive(Debug, Default)]
pub struct Context {
    /// Path → text; none for what is large or no text.
    files: BTreeMap<String, Option<String>>,
}

impl Context {
    pub fn add(&mut self, path: String, text: Option<String>) {
        self.files.insert(path, text);
    }

    /// The file that a command of the Dockerfile means: at its path, else the one of its name.
    fn find(&self, path: &str) -> Option<&str> {
        let plain = path.trim_start_matches(['.', '/']);
        let text = |path: &str| self.files.get(path).and_then(Option::as_deref);
        text(plain).or_else(|| {
            let name = plain.rsplit('/').next()?;
            let mut found = self
                .files
                .keys()
                .filter(|path| path.as_str() == name || path.ends_with(&format!("/{name}")));
            text(found.next().filter(|_| found.next().is_none())?)
        })
    }
}

/// What a Dockerfile of the context makes; `name` is what the environment is called.
pub fn environment(context: &Context, file: &str, name: &str) -> Result<Environment> {
    let file = file.trim_start_matches(['.', '/']);
    let Some(text) = context.files.get(file).and_then(Option::as_deref) else {
        return Err(
            Error::not_found(format!("The build context has no file `{file}`"))
                .at("environment.build.dockerfile_path"),
        );
    };
    let mut build = Build {
        context,
        file,
        version: None,
        requirements: Vec::new(),
        notes: Vec::new(),
        left_out: Vec::new(),
        arguments: BTreeMap::new(),
    };
    for (number, line) in lines(text) {
        build
            .instruction(&line)
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
    version: Option<String>,
    requirements: Vec<String>,
    notes: Vec<String>,
    left_out: Vec<String>,
    arguments: BTreeMap<String, String>,
}

/// Instructions with their line numbers, continued lines joined.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let (at, mut text) = begun.take().unwrap_or((number, String::new()));
        match line.trim_end().strip_suffix('\\') {
            Some(part) => {
                text.push_str(part);
                text.push(' ');
                begun = Some((at, text));
            }
            None => {
                text.push_str(line);
                all.push((at, text));
            }
        }
    }
    all.extend(begun);
    all.retain(|(_, text)| !text.trim().is_empty());
    all
}

impl Build<'_> {
    fn instruction(&mut self, line: &str) -> Result<()> {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let rest = self.expand(rest.trim());
        match word.to_ascii_uppercase().as_str() {
            "FROM" => self.from(&rest),
            "ARG" => {
                if let Some((name, value)) = rest.split_once('=') {
                    let value = value.trim_matches(['"', '\'']).to_owned();
                    self.arguments.insert(name.to_owned(), value);
                }
            }
            "RUN" => {
                for command in rest.split("&&").flat_map(|part| part.split(';')) {
                    self.command(command.trim())?;
                }
            }
            // They change nothing that Python packages need.
            "COPY" | "ADD" | "WORKDIR" | "LABEL" | "EXPOSE" | "CMD" | "ENTRYPOINT" | "USER"
            | "SHELL" | "MAINTAINER" | "STOPSIGNAL" | "HEALTHCHECK" | "VOLUME" => {}
            _ => self.left_out.push(line.trim().to_owned()),
        }
        Ok(())
    }

    /// A text with the values of arguments in it.
    fn expand(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.arguments {
            text = text.replace(&format!("${{{name}}}"), value);
            text = text.replace(&format!("${name}"), value);
        }
        text
    }

    fn from(&mut self, rest: &str) {
        let image = rest
            .split_whitespace()
            .find(|word| !word.starts_with("--"))
            .unwrap_or_default();
        // The last stage is the one that is kept.
        self.requirements.clear();
        self.left_out.clear();
        self.notes.clear();
        self.notes.push(environment::image_note(image));
        if let Environment::Python {
            version,
            requirements,
            ..
        } = environment::of_image(image, "")
        {
            self.version = version;
            self.requirements = requirements;
        }
    }

    fn command(&mut self, command: &str) -> Result<()> {
        let words: Vec<&str> = command
            .split_whitespace()
            .map(|word| word.trim_matches(['"', '\'']))
            .skip_while(|word| word.contains('=') && !word.starts_with('-'))
            .collect();
        let position = |wanted: &[&str]| {
            let mut windows = words.windows(wanted.len());
            windows
                .position(|window| window == wanted)
                .map(|at| at + wanted.len())
        };
        let is_conda = words
            .iter()
            .any(|word| matches!(*word, "conda" | "mamba" | "micromamba"));
        let pip = position(&["pip", "install"]).or_else(|| position(&["pip3", "install"]));
        if let Some(at) = pip {
            return self.pip(&words[at..]);
        }
        if is_conda && words.contains(&"env") {
            return self.conda_file(&words, command);
        }
        if is_conda && let Some(at) = position(&["install"]) {
            return self.conda(&words[at..]);
        }
        let harmless = [
            "mkdir", "rm", "chmod", "chown", "echo", "ls", "cd", "conda", "true",
        ];
        if !words.is_empty() && !harmless.contains(&words[0]) {
            self.left_out.push(command.to_owned());
        }
        Ok(())
    }

    fn pip(&mut self, words: &[&str]) -> Result<()> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "-r" | "--requirement" => {
                    let file = words.next().copied().unwrap_or_default();
                    self.requirements_file(file)?;
                }
                "-i" | "--index-url" | "--extra-index-url" | "-f" | "--find-links" => {
                    let value = words.next().copied().unwrap_or_default();
                    self.requirements.push(format!("{word} {value}"));
                }
                "-c" | "--constraint" | "-t" | "--target" | "--timeout" | "--default-timeout"
                | "--retries" | "--root-user-action" => {
                    words.next();
                }
                option if option.starts_with('-') => {}
                file if file.starts_with(['.', '/']) => {
                    self.left_out.push(format!("pip install {file}"));
                }
                package => {
                    requirements::check(package)?;
                    self.requirements.push(package.to_owned());
                }
            }
        }
        Ok(())
    }

    fn requirements_file(&mut self, file: &str) -> Result<()> {
        let text = self.file(file)?;
        let context = self.context;
        let read = |path: &Path| {
            let path = path.to_string_lossy();
            let found = context.find(&path).map(str::to_owned);
            found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let lines = requirements::parse_with(&text, file, Path::new(file), &read)?;
        self.requirements.extend(lines);
        Ok(())
    }

    fn conda(&mut self, words: &[&str]) -> Result<()> {
        let mut words = words.iter();
        let mut packages = Vec::new();
        while let Some(word) = words.next() {
            match *word {
                "-c" | "--channel" | "-n" | "--name" | "-p" | "--prefix" => {
                    words.next();
                }
                option if option.starts_with('-') => {}
                package => packages.push(format!("  - {package:?}")),
            }
        }
        let text = format!("dependencies:\n{}\n", packages.join("\n"));
        self.take(conda::parse_stored(&text, self.file)?);
        Ok(())
    }

    fn conda_file(&mut self, words: &[&str], command: &str) -> Result<()> {
        let mut words = words.iter();
        let file = words
            .find(|word| matches!(**word, "-f" | "--file"))
            .and_then(|_| words.next());
        let Some(file) = file else {
            self.left_out.push(command.to_owned());
            return Ok(());
        };
        let text = self.file(file)?;
        self.take(conda::parse_stored(&text, file)?);
        Ok(())
    }

    fn file(&self, file: &str) -> Result<String> {
        let found = self.context.find(file).map(str::to_owned);
        found.ok_or_else(|| Error::not_found(format!("The build context has no file `{file}`")))
    }

    fn take(&mut self, found: Environment) {
        if let Environment::Python {
            version,
            requirements,
            notes,
            ..
        } = found
        {
            self.version = version.or(self.version.take());
            self.requirements.extend(requirements);
            self.notes.extend(notes);
        }
    }

    fn finish(mut self, name: &str) -> Environment {
        if !self.left_out.is_empty() {
            let mut note = format!("Not done of {}: {}", self.file, self.left_out.join("; "));
            if note.chars().count() > LONGEST_NOTE {
                note = note.chars().take(LONGEST_NOTE).collect();
                note.push('…');
            }
            self.notes.push(note);
        }
        Environment::Python {
            version: self.version,
            requirements: self.requirements,
            notes: self.notes,
            name: name.to_owned(),
            path: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_a_dockerfile_are_installed_and_the_rest_is_noted() {
        let mut context = Context::default();
        let mut add = |path: &str, text: &str| context.add(path.to_owned(), Some(text.to_owned()));
        add(
            "Dockerfile",
            "# a comment\nARG V=1.2\nFROM python:3.10\nCOPY . /build\nRUN apt-get update && \\\n  \
             apt-get install -y gcc\nRUN pip install --no-cache-dir numpy==${V} 'pandas<2' && \
             pip install -r /build/more.txt\nRUN conda env update -f conda.yml\n",
        );
        add("more.txt", "joblib\n-r deep/other.txt\n");
        add("deep/other.txt", "scipy\n");
        add(
            "conda.yml",
            "dependencies:\n  - python=3.9\n  - pip:\n    - mlflow<2.22\n",
        );
        let Environment::Python {
            version,
            requirements,
            notes,
            ..
        } = environment(&context, "./Dockerfile", "e:1").unwrap()
        else {
            panic!("a Python environment");
        };
        assert_eq!(version.as_deref(), Some("3.9"));
        assert_eq!(
            requirements,
            ["numpy==1.2", "pandas<2", "joblib", "scipy", "mlflow<2.22"]
        );
        assert!(notes[0].contains("python:3.10"), "{notes:?}");
        assert_eq!(
            notes[1],
            "Not done of Dockerfile: apt-get update; apt-get install -y gcc"
        );
        let error = environment(&context, "Other", "e").unwrap_err();
        assert_eq!(error.message, "The build context has no file `Other`");
    }
}
