//! What a container of a Dockerfile would start, as a line for this machine: paths that were copied
//! into the image are those of the build context again.

use std::collections::BTreeMap;

use super::lines::{expand, instructions, pairs, words_of};
use crate::words;

/// What is started.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Start {
    /// A line for `sh`, run in the folder of the build context.
    pub line: String,
    /// Variables that the Dockerfile sets, but those that name folders of the image.
    pub variables: BTreeMap<String, String>,
}

/// What Azure ML's images for inference start: their scoring server.
const OF_THE_BASE: [&str; 2] = ["runsvdir", "/var/runit"];
/// Variables that make sense in the image only.
const OF_THE_IMAGE: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "PYTHONPATH"];

/// What `ENTRYPOINT` and `CMD` of the last stage start; none when it is left to the base image, or what
/// Azure ML's own images start.
/// `files` are the paths of the build context.
pub fn start(text: &str, arguments: &BTreeMap<String, String>, files: &[String]) -> Option<Start> {
    let mut stage = Stage::new(files);
    let mut known = arguments.clone();
    for instruction in instructions(text) {
        let line = instruction.text.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word.to_ascii_uppercase().as_str() {
            "FROM" => stage = Stage::new(files),
            "ARG" => {
                if let Some((name, value)) = rest.split_once('=') {
                    known
                        .entry(name.to_owned())
                        .or_insert_with(|| value.trim_matches(['"', '\'']).to_owned());
                }
            }
            "ENV" => {
                for (name, value) in pairs(&expand(rest, &known, true)) {
                    known.insert(name.clone(), value.clone());
                    stage.variables.insert(name, value);
                }
            }
            "WORKDIR" => stage.folder = stage.within(&expand(rest, &known, true)),
            "COPY" | "ADD" => stage.copied(&expand(rest, &known, true)),
            "ENTRYPOINT" => stage.entry = Some(Words::of(rest)),
            "CMD" => stage.command = Some(Words::of(rest)),
            _ => {}
        }
    }
    stage.start()
}

/// A command as it is written: words, or a line for the shell.
enum Words {
    Exec(Vec<String>),
    Shell(String),
}

impl Words {
    fn of(rest: &str) -> Self {
        match serde_json::from_str(rest) {
            Ok(words) => Words::Exec(words),
            Err(_) => Words::Shell(rest.to_owned()),
        }
    }
}

struct Stage<'a> {
    files: &'a [String],
    /// Path in the image → path in the context.
    copied: Vec<(String, String)>,
    folder: String,
    variables: BTreeMap<String, String>,
    entry: Option<Words>,
    command: Option<Words>,
}

impl<'a> Stage<'a> {
    fn new(files: &'a [String]) -> Self {
        Self {
            files,
            copied: Vec::new(),
            folder: "/".to_owned(),
            variables: BTreeMap::new(),
            entry: None,
            command: None,
        }
    }

    /// A path of the image, however it is written.
    fn within(&self, path: &str) -> String {
        let path = path.trim_matches(['"', '\'']);
        let whole = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}/{path}", self.folder)
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in whole.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    fn copied(&mut self, rest: &str) {
        let words: Vec<String> = match serde_json::from_str(rest) {
            Ok(words) => words,
            Err(_) => words_of(rest).into_iter().flatten().collect(),
        };
        if words.iter().any(|word| word.starts_with("--from")) {
            return;
        }
        let words: Vec<&String> = words.iter().filter(|w| !w.starts_with("--")).collect();
        let Some((target, sources)) = words.split_last() else {
            return;
        };
        let into = self.within(target);
        for source in sources {
            let source = source.trim_start_matches("./").trim_matches('/');
            let source = if source == "." { "" } else { source };
            let is_file = self.files.iter().any(|file| file == source);
            let name = source.rsplit('/').next().unwrap_or_default();
            let is_inside = is_file && (target.ends_with(['/', '.']) || sources.len() > 1);
            let at = if is_inside {
                format!("{}/{name}", into.trim_end_matches('/'))
            } else {
                into.clone()
            };
            self.copied.push((at, source.to_owned()));
        }
    }

    /// Where in the context something is that has this path in the image, if it was copied from there.
    fn origin(&self, path: &str) -> Option<String> {
        let path = self.within(path);
        let mut found = self.copied.iter().filter_map(|(at, source)| {
            let rest = path.strip_prefix(at.trim_end_matches('/'))?;
            let rest = match rest.strip_prefix('/') {
                Some(rest) => rest,
                None if rest.is_empty() => rest,
                None => return None,
            };
            let origin = format!("{source}/{rest}");
            let origin = origin.trim_matches('/').to_owned();
            self.has(&origin).then_some((at.len(), origin))
        });
        let first = found.next()?;
        // The last copy counts where several have put something.
        let longest = found.fold(first, |best, one| if one.0 >= best.0 { one } else { best });
        Some(longest.1)
    }

    fn has(&self, path: &str) -> bool {
        let below = |file: &String| {
            let rest = file.strip_prefix(path);
            rest.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'))
        };
        self.files.iter().any(below)
    }

    /// A word of the command, its path that of the context.
    fn word(&self, word: &str, top: &str) -> String {
        let found = word.starts_with('/').then(|| self.origin(word)).flatten();
        match found {
            Some(origin) => format!("{top}{origin}"),
            None => word.to_owned(),
        }
    }

    fn start(self) -> Option<Start> {
        if let (None, Some(Words::Exec(words))) = (&self.entry, &self.command)
            && *words == OF_THE_BASE
        {
            return None;
        }
        let folder = self
            .origin(&self.folder)
            .filter(|folder| !folder.is_empty());
        // Back from the working directory to the context.
        let depth = folder
            .as_ref()
            .map_or(0, |folder| folder.split('/').count());
        let top = "../".repeat(depth);
        let line = match (&self.entry, &self.command) {
            (Some(Words::Exec(entry)), Some(Words::Exec(more))) if !entry.is_empty() => {
                self.line(entry.iter().chain(more), &top)
            }
            (Some(Words::Exec(entry)), Some(Words::Shell(line))) if !entry.is_empty() => {
                let words = line.split(' ').map(|word| self.word(word, &top));
                let line = words.collect::<Vec<_>>().join(" ");
                let shell = ["/bin/sh".to_owned(), "-c".to_owned(), line];
                self.line(entry.iter().chain(&shell), &top)
            }
            (Some(Words::Exec(entry)), _) if !entry.is_empty() => self.line(entry.iter(), &top),
            (Some(Words::Shell(line)), _) | (_, Some(Words::Shell(line))) => {
                let words = line.split(' ').map(|word| self.word(word, &top));
                words.collect::<Vec<_>>().join(" ")
            }
            (_, Some(Words::Exec(words))) if !words.is_empty() => self.line(words.iter(), &top),
            _ => return None,
        };
        let mut variables = self.variables.clone();
        variables.retain(|name, _| !OF_THE_IMAGE.contains(&name.as_str()));
        for value in variables.values_mut() {
            *value = self.word(value, &top);
        }
        Some(Start {
            line: match folder {
                Some(folder) => format!("cd {} && {line}", quoted(&folder)),
                None => line,
            },
            variables,
        })
    }

    fn line<'w>(&self, words: impl Iterator<Item = &'w String>, top: &str) -> String {
        let words = words.map(|word| quoted(&self.word(word, top)));
        format!("exec {}", words.collect::<Vec<_>>().join(" "))
    }
}

/// A word for the shell. Variables in it get their values: there is nobody else to do it here.
fn quoted(word: &str) -> String {
    if !word.contains('$') {
        return words::quoted(word);
    }
    let escaped = word
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('`', "\\`");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scoring_server_of_azures_images_is_left_to_them() {
        let text = "FROM mcr.microsoft.com/azureml/curated/mlflow-py312-inference\n\
                    CMD [\"runsvdir\", \"/var/runit\"]\n";
        assert_eq!(start(text, &BTreeMap::new(), &[]), None);
    }

    fn line(text: &str, files: &[&str]) -> Option<String> {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        start(text, &BTreeMap::new(), &files).map(|start| start.line)
    }

    #[test]
    fn what_was_copied_is_found_in_the_context_again() {
        for (text, files, expected) in [
            (
                "FROM python:3.11\nWORKDIR /app\nCOPY . .\nCMD [\"python\", \"server.py\"]\n",
                &["server.py"][..],
                "exec python server.py",
            ),
            (
                "FROM x\nENTRYPOINT []\nCOPY ./scripts/start.R /tmp/start.R\nCMD [\"Rscript\", \"/tmp/start.R\"]\n",
                &["scripts/start.R"],
                "exec Rscript scripts/start.R",
            ),
            (
                "FROM x\nCOPY src /app/src\nWORKDIR /app/src\nCOPY conf/a.toml /etc/server/\n\
                 ENTRYPOINT [\"node\", \"/app/src/main.js\"]\nCMD [\"--conf\", \"/etc/server/a.toml\"]\n",
                &["src/main.js", "conf/a.toml"],
                "cd src && exec node ../src/main.js --conf ../conf/a.toml",
            ),
            (
                "FROM x\nCOPY models /models\nCMD server --models=/models --at /models/m $HOME\n",
                &["models/m"],
                "server --models=/models --at models/m $HOME",
            ),
            (
                "FROM x\nCMD [\"--port\", \"80\"]\nENTRYPOINT [\"serve\"]\n",
                &[],
                "exec serve --port 80",
            ),
            (
                "FROM x\nENTRYPOINT [\"tini\", \"--\"]\nCMD python app.py\n",
                &[],
                "exec tini -- /bin/sh -c 'python app.py'",
            ),
            (
                "FROM x\nCMD [\"serve\", \"--store\", \"$AZUREML_MODEL_DIR/a b\", \"it's\"]\n",
                &[],
                "exec serve --store \"$AZUREML_MODEL_DIR/a b\" 'it'\\''s'",
            ),
        ] {
            assert_eq!(line(text, files).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_the_base_image_starts_is_not_known() {
        assert_eq!(
            line("FROM tensorflow/serving\nENV MODEL_NAME=hpt\n", &[]),
            None
        );
        // Another stage's command is not the image's.
        assert_eq!(line("FROM a\nCMD [\"x\"]\nFROM b\n", &[]), None);
    }

    #[test]
    fn variables_of_the_dockerfile_are_set() {
        let text =
            "FROM x\nARG WHO=me\nENV PATH=/opt/bin:$PATH PORT=8080\nENV WHOM $WHO\nCMD run\n";
        let start = start(text, &BTreeMap::new(), &[]).unwrap();
        let expected = [("PORT", "8080"), ("WHOM", "me")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(start.variables, expected.into());
    }
}
