//! The check that the script a command names is in the code, before anything is uploaded.

use std::path::{Component, Path};

use api::{Error, Result, names};
use spec::reference::missing;

/// Programs whose first argument that is no option is a script.
const INTERPRETERS: [&str; 12] = [
    "python", "pypy", "bash", "sh", "zsh", "dash", "Rscript", "julia", "node", "perl", "ruby",
    "lua",
];
/// What files are looked at to find one with a similar name.
const LOOK_AT: usize = 5000;

/// What the shell reads as more than itself.
const SPECIAL: &str = "|&;<>()$`\\\"'*?[]{}~#=";

/// Refuses a command whose script is not in the code. `here` is the folder of the caller.
pub fn check(command: &[String], code: Option<&Path>, here: &Path) -> Result<()> {
    if let Some(code) = code
        && !code.is_dir()
    {
        return Err(no_folder(code, here));
    }
    let words: Vec<&str> = match command {
        [line] => first_words(line),
        words => words.iter().map(String::as_str).collect(),
    };
    let Some(script) = script(&words) else {
        return Ok(());
    };
    let Some(code) = code else {
        let error = Error::invalid(format!("`{script}` is not there: the run has no code"));
        return Err(error.hint(if here.join(script).is_file() {
            "Send this folder along: --code ."
        } else {
            "Send the folder that has it along: --code FOLDER"
        }));
    };
    if code.join(script).exists() {
        return Ok(());
    }
    let shown = format!("`{}`", code.display());
    let error = absent(script, code, &shown).at("--code");
    if !error.hints.is_empty() {
        return Err(error);
    }
    Err(error.hint(if here.join(script).is_file() {
        format!("`{script}` is in this folder: --code .")
    } else {
        "Paths in the command are relative to the code folder".to_owned()
    }))
}

/// Refuses the command of a job whose script is not in its code, which is a folder or a file.
pub fn check_job(command: &str, code: Option<&Path>) -> Result<()> {
    let Some(script) = script(&first_words(command)) else {
        return Ok(());
    };
    let Some(code) = code else {
        return Err(
            Error::invalid(format!("`{script}` is not there: the job has no code"))
                .at("command")
                .hint("Name the folder that has it: code: ./src"),
        );
    };
    let there = if code.is_file() {
        Path::new(script).file_name() == code.file_name()
    } else {
        code.join(script).exists()
    };
    if there {
        return Ok(());
    }
    let mut error = absent(script, code, "the code").at("command");
    if error.hints.is_empty() {
        error = error.hint("Paths in the command are relative to the folder that `code` names");
    }
    Err(error)
}

/// That a script is not in the code, with the file that may have been meant.
fn absent(script: &str, code: &Path, shown: &str) -> Error {
    let mut files = Vec::new();
    list(code, code, &mut files);
    let error = Error::invalid(format!("`{script}` is not in {shown}"));
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let same = files.iter().find(|file| base(file) == base(script));
    let nearest = same.map(String::as_str);
    let nearest = nearest.or_else(|| names::nearest(script, files.iter().map(String::as_str)));
    match nearest {
        Some(file) => error.hint(format!("Did you mean `{file}`?")),
        None => error,
    }
}

/// The plain words that a line for the shell begins with; none where the command may fail and the line
/// goes on, for then it need not be there.
fn first_words(line: &str) -> Vec<&str> {
    let line = line.trim();
    let goes_on = |line: &str| {
        let broken = line
            .lines()
            .rev()
            .skip(1)
            .any(|line| !line.trim_end().ends_with('\\'));
        broken || line.contains(';') || line.contains("||") || line.trim_end().ends_with('&')
    };
    if goes_on(line) {
        return Vec::new();
    }
    line.split_whitespace()
        .take_while(|word| !word.contains(|c| SPECIAL.contains(c)))
        .collect()
}

/// Says why a path is no folder of code; it is shown as it was typed in the folder `here`.
pub fn no_folder(code: &Path, here: &Path) -> Error {
    let typed = code.strip_prefix(here).unwrap_or(code);
    let shown = typed.display();
    if code.exists() {
        let folder = match typed.parent() {
            Some(above) if above.as_os_str().is_empty() => Path::new("."),
            Some(above) => above,
            None => typed,
        };
        let folder = folder.display();
        return Error::invalid(format!("`{shown}` is a file, not a folder"))
            .at("--code")
            .hint(format!("Send the folder it is in: --code {folder}"));
    }
    missing("folder", &shown.to_string(), code).at("--code")
}

/// The relative path of the script that a command line runs, if it plainly does.
fn script<'a>(words: &[&'a str]) -> Option<&'a str> {
    let (program, arguments) = words.split_first()?;
    let name = program.rsplit('/').next().unwrap_or(program);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let script = if INTERPRETERS.contains(&bare) {
        let first = arguments
            .iter()
            .find(|word| !word.starts_with('-') || word.len() > 1)?;
        Some(*first).filter(|word| !word.starts_with('-'))
    } else {
        Some(*program).filter(|program| program.contains('/'))
    }?;
    let relative = Path::new(script)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    relative.then_some(script)
}

/// Collects the files below `folder`, by their path in `root`.
fn list(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        match entry.file_type() {
            _ if files.len() >= LOOK_AT => return,
            Ok(kind) if kind.is_dir() && !hidden => list(root, &path, files),
            Ok(kind) if kind.is_file() => {
                let relative = path.strip_prefix(root).unwrap_or(&path);
                files.push(relative.to_string_lossy().into_owned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{first_words, script};

    fn of(line: &str) -> Option<&str> {
        script(&first_words(line))
    }

    #[test]
    fn the_script_of_a_command_is_found_where_it_is_plain() {
        assert_eq!(of("python train.py --C 0.1"), Some("train.py"));
        assert_eq!(of("/usr/bin/python3.11 src/train.py"), Some("src/train.py"));
        assert_eq!(of("./train.sh x"), Some("./train.sh"));
        assert_eq!(of("Rscript fit.R"), Some("fit.R"));
        assert_eq!(of("python a.py --in ${{inputs.d}}"), Some("a.py"));
        assert_eq!(of("python a.py && python b.py"), Some("a.py"));
        assert_eq!(of("python a.py \\\n  --x 'y z'\n"), Some("a.py"));
    }

    #[test]
    fn what_may_be_no_script_is_left_alone() {
        for line in [
            "python -m pkg",
            "python -c pass",
            "python",
            "echo train.py",
            "/opt/tool x",
            "python /abs/t.py",
            "python ../t.py",
            "make x",
            "python $SCRIPT",
            "python a.py || true",
            "python a.py; echo",
            "python a.py &",
            "python a.py\npython b.py",
            "cd src && python a.py",
            "X=1 python a.py",
            "python '${{inputs.s}}'",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
