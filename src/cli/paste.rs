//! Commands in hints, written so that this very user can paste them: the program as it was called,
//! with the workspace and profile that were named on the line.

use super::{Globals, az::hint};

/// Commands that have no workspace, or name it themselves.
const WITHOUT_WORKSPACE: [&str; 14] = [
    "completions",
    "doctor",
    "gc",
    "login",
    "logout",
    "profile",
    "quickstart",
    "registry",
    "schema",
    "serve",
    "user",
    "whoami",
    "worker",
    "workspace",
];
/// Commands that are about this machine, whatever the profile.
const WITHOUT_PROFILE: [&str; 7] = [
    "completions",
    "doctor",
    "login",
    "logout",
    "profile",
    "schema",
    "serve",
];
/// Where a command begins in a hint, and what ends it.
const BEGINS: [(&str, &str); 3] = [("aml ", "\n;"), (": aml ", "\n;"), ("`aml ", "`")];

/// What belongs to every command that is shown.
#[derive(Debug, Clone, Default)]
pub struct Paste {
    program: String,
    workspace: Option<String>,
    profile: Option<String>,
    /// The user came by the door for scripts written for Azure.
    azure: bool,
}

impl Paste {
    /// Commands as `az` knows them.
    pub fn azure() -> Self {
        Self {
            azure: true,
            ..Self::default()
        }
    }

    /// From the options of the line and the word that the program was called by.
    pub(super) fn new(globals: &Globals, called: Option<String>) -> Self {
        // A name alone was found on the PATH.
        let program = called.filter(|called| called.contains('/'));
        Self {
            program: program.unwrap_or_else(|| "aml".to_owned()),
            workspace: globals.workspace.clone(),
            profile: globals.profile.clone(),
            azure: false,
        }
    }

    /// A text with the commands in it completed: those at its start, after a colon or in backticks.
    ///
    /// A hint that says what somebody else can do is left as it is: their line begins as they like.
    pub fn text(&self, text: &str) -> String {
        if self.azure {
            return hint::as_called(text);
        }
        if is_for_others(text) {
            return text.to_owned();
        }
        let mut done = String::new();
        let mut rest = text;
        while let Some((start, end)) = next_command(rest, done.is_empty()) {
            done += &rest[..start];
            done += &self.command(&rest[start..end]);
            rest = &rest[end..];
        }
        done + rest
    }

    /// A whole command that begins with `aml`.
    pub fn command(&self, command: &str) -> String {
        let words = command.strip_prefix("aml ").unwrap_or(command);
        let (own, passed_on) = match words.split_once(" -- ") {
            Some((own, passed_on)) => (own, format!(" -- {passed_on}")),
            None => (words, String::new()),
        };
        let verb = own.split(' ').next().unwrap_or_default();
        let names = |option: &[&str]| own.split([' ', '=']).any(|word| option.contains(&word));
        let mut options = Vec::new();
        if let Some(workspace) = &self.workspace
            && !WITHOUT_WORKSPACE.contains(&verb)
            && !names(&["-w", "--workspace"])
        {
            options.push(format!(" -w {}", quoted(workspace)));
        }
        if let Some(profile) = &self.profile
            && !WITHOUT_PROFILE.contains(&verb)
            && !names(&["--profile"])
        {
            options.push(format!(" --profile {}", quoted(profile)));
        }
        let options = options.concat();
        format!("{} {own}{options}{passed_on}", quoted(&self.program))
    }
}

/// Whether a hint is for an owner or an admin to follow, not for who reads it.
fn is_for_others(text: &str) -> bool {
    ["An admin", "An owner", "an owner can"]
        .iter()
        .any(|who| text.contains(who))
}

/// Where the next command in a text begins and ends.
fn next_command(text: &str, at_start: bool) -> Option<(usize, usize)> {
    let found = BEGINS
        .iter()
        .enumerate()
        .filter_map(|(kind, (begin, end))| {
            let at = match kind {
                0 => (at_start && text.starts_with(begin)).then_some(0)?,
                _ => text.find(begin)? + begin.len() - "aml ".len(),
            };
            let length = text[at..].find(|c| end.contains(c));
            Some((at, length.map_or(text.len(), |length| at + length)))
        });
    found.min()
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./@:+,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::Paste;

    fn paste(program: &str) -> Paste {
        Paste {
            program: program.to_owned(),
            workspace: Some("quickstart".to_owned()),
            profile: Some("team".to_owned()),
            azure: false,
        }
    }

    #[test]
    fn commands_get_what_was_named_on_the_line() {
        let check = |text: &str, expected: &str| assert_eq!(paste("aml").text(text), expected);
        check(
            "Follow it again: aml run logs a --follow",
            "Follow it again: aml run logs a --follow -w quickstart --profile team",
        );
        check(
            "aml model restore iris:1",
            "aml model restore iris:1 -w quickstart --profile team",
        );
        check(
            "For one command: aml mlflow -- COMMAND; for longer, start a server: aml serve",
            "For one command: aml mlflow -w quickstart --profile team -- COMMAND; \
             for longer, start a server: aml serve",
        );
        check(
            "See which with `aml endpoint list`, and try again",
            "See which with `aml endpoint list -w quickstart --profile team`, and try again",
        );
        check(
            "Create one: aml workspace create -n NAME",
            "Create one: aml workspace create -n NAME --profile team",
        );
        check(
            "See it: aml run show a -w other --profile=x",
            "See it: aml run show a -w other --profile=x",
        );
        check(
            "Install the newer aml that wrote it",
            "Install the newer aml that wrote it",
        );
        let theirs = "An owner can let you in: aml workspace share add -n churn --user ann";
        check(theirs, theirs);
    }

    #[test]
    fn the_program_is_named_as_it_was_called() {
        let mut paste = paste("/opt/my tools/aml");
        (paste.workspace, paste.profile) = (None, None);
        assert_eq!(
            paste.text("Check the machine: aml doctor"),
            "Check the machine: '/opt/my tools/aml' doctor"
        );
        let called = |word: &str| Paste::new(&super::Globals::default(), Some(word.to_owned()));
        assert_eq!(called("aml").command("aml doctor"), "aml doctor");
        assert_eq!(
            called("target/debug/aml").command("aml doctor"),
            "target/debug/aml doctor"
        );
    }
}
