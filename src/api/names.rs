//! Which names are allowed, for every kind of thing that has one.
//!
//! Names are compared without regard to case and shown as they were first written.

use super::{Error, Result};

/// What a kind of thing may be called.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    kind: &'static str,
    max: usize,
    /// Characters besides letters and digits; every one that can be seen when absent.
    extra: Option<&'static str>,
    /// Characters that are refused all the same.
    without: &'static str,
}

pub const WORKSPACE: Rule = rule("workspace", 33, "-_");
/// MLflow's clients call experiments anything, such as `/Shared/über-all`.
pub const EXPERIMENT: Rule = Rule {
    kind: "experiment",
    max: 500,
    extra: None,
    without: "",
};
pub const RUN: Rule = rule("run", 255, "-_");
/// As MLflow's clients call models; a name is one part of a path.
pub const MODEL: Rule = Rule {
    kind: "model",
    max: 255,
    extra: None,
    without: "/:",
};
const ALIAS_LENGTH: usize = 255;
const PORT_LENGTH: usize = 255;
pub const ASSET: Rule = rule("asset", 255, "-_.");
pub const VERSION: Rule = rule("version", 255, "-_.");
pub const LABEL: Rule = rule("label", 64, "-_.");
pub const COMPUTE: Rule = rule("compute", 64, "-_");
pub const CONNECTION: Rule = rule("connection", 255, "-_.");
pub const IDENTITY: Rule = rule("identity", 128, "-_");
pub const RESOURCE_GROUP: Rule = rule("resource group", 90, "-_.()");
pub const REGISTRY: Rule = rule("registry", 33, "-_");
pub const DATASTORE: Rule = rule("datastore", 255, "-_");
pub const ENDPOINT: Rule = rule("endpoint", 32, "-");
pub const SCHEDULE: Rule = rule("schedule", 200, "-_");
pub const DEPLOYMENT: Rule = rule("deployment", 32, "-");
pub const SECRET: Rule = rule("secret", 127, "-_");
pub const USER: Rule = rule("user", 64, "-_.@");
pub const WEBHOOK: Rule = rule("webhook", 63, "-_.");
pub const TAG: Rule = rule("tag", 255, "-_. /:");

const fn rule(kind: &'static str, max: usize, extra: &'static str) -> Rule {
    Rule {
        kind,
        max,
        extra: Some(extra),
        without: "",
    }
}

/// Accepts what an alias of a model version may be: nothing that could be taken for a version.
pub fn check_alias(alias: &str) -> Result<()> {
    let number = alias.strip_prefix(['v', 'V']).unwrap_or_default();
    let problem = if alias.is_empty() {
        "An alias cannot be empty".to_owned()
    } else if alias.chars().count() > ALIAS_LENGTH {
        format!("The alias is longer than {ALIAS_LENGTH} characters")
    } else if let Some(bad) = alias
        .chars()
        .find(|c| !c.is_alphanumeric() && !"_-".contains(*c))
    {
        format!(
            "The alias `{}` has the character `{bad}`",
            alias.escape_debug()
        )
    } else if alias.eq_ignore_ascii_case(super::models::LATEST) {
        format!("The alias `{alias}` is always the newest version")
    } else if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("The alias `{alias}` could be taken for a version")
    } else {
        return Ok(());
    };
    Err(Error::invalid(problem)
        .at("alias")
        .hint("An alias has letters, digits, `-` and `_`, such as `champion`"))
}

/// Accepts what an input or output of a job may be called: it is a folder of the run, and a part of
/// variables and of `${{…}}`.
pub fn check_port(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins_well && name.len() <= PORT_LENGTH && name.chars().all(plain) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "An input or output cannot be called `{}`",
        name.escape_debug()
    ))
    .at("name")
    .hint(format!(
        "Such a name has 1 to {PORT_LENGTH} letters, digits and `_`, and begins with a letter or `_`"
    )))
}

impl Rule {
    /// Accepts a name that has only letters, digits and the extra characters of the rule, begins with
    /// a letter, digit or underscore, and is not too long. A rule without extra characters
    /// accepts every name that can be seen from its first to its last character.
    pub fn check(&self, name: &str) -> Result<()> {
        let Rule { kind, max, .. } = self;
        let problem = if name.is_empty() {
            Some(format!("The {kind} name cannot be empty"))
        } else if name.chars().count() > *max {
            Some(format!("The {kind} name is longer than {max} characters"))
        } else if let Some(bad) = name.chars().find(|c| !self.has(*c)) {
            Some(format!(
                "The {kind} name `{}` has the character `{}`",
                name.escape_debug(),
                bad.escape_debug()
            ))
        } else if let Some(first) = name.chars().next().filter(|c| !self.begins_with(*c)) {
            Some(format!("The {kind} name `{name}` begins with `{first}`"))
        } else if name.ends_with(' ') {
            Some(format!("The {kind} name `{name}` ends with a blank"))
        } else if self.without.contains('/') && name.starts_with("..") || name == "." {
            Some(format!(
                "The {kind} name `{name}` could be taken for a path"
            ))
        } else {
            None
        };
        match problem {
            None => Ok(()),
            Some(problem) => Err(Error::invalid(problem).at("name").hint(self.describe())),
        }
    }

    fn has(&self, c: char) -> bool {
        match self.extra {
            Some(extra) => c.is_ascii_alphanumeric() || extra.contains(c),
            None => !c.is_control() && !self.without.contains(c),
        }
    }

    fn begins_with(&self, c: char) -> bool {
        match self.extra {
            Some(extra) => c.is_ascii_alphanumeric() || (c == '_' && extra.contains(c)),
            None => !c.is_whitespace(),
        }
    }

    fn describe(&self) -> String {
        let Rule {
            kind,
            max,
            extra,
            without,
        } = self;
        let article = if kind.starts_with(['a', 'e', 'i', 'o']) {
            "An"
        } else {
            "A"
        };
        let quoted =
            |text: &str| -> Vec<String> { text.chars().map(|c| format!("`{c}`")).collect() };
        let Some(extra) = extra else {
            let mut no = quoted(without);
            no.push("line breaks".to_owned());
            return format!(
                "{article} {kind} name has 1 to {max} characters, no {}, and no blanks at its ends",
                no.join(", no ")
            );
        };
        let first = if extra.contains('_') {
            "letter, digit or `_`"
        } else {
            "letter or digit"
        };
        format!(
            "{article} {kind} name has 1 to {max} letters, digits and {}, and begins with a {first}",
            quoted(extra).join(" ")
        )
    }
}

/// The candidate closest to `name`, if it is close enough to be a typing mistake.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let score = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let score = strsim::jaro_winkler(&name, &candidate);
        // One slip of the finger, also in names too short to be similar by then.
        let slip = candidate.len() > 2 && strsim::osa_distance(&name, &candidate) == 1;
        if slip { score.max(0.9) } else { score }
    };
    candidates
        .into_iter()
        .map(|candidate| (score(candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// A name of lower case letters, digits and `-`, as images and manifests have it.
pub fn plain(name: &str) -> String {
    let letters = name.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
        _ => '-',
    });
    letters.collect::<String>().trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{ENDPOINT, WORKSPACE, nearest};

    #[test]
    fn a_rule_says_what_it_accepts() {
        assert!(ENDPOINT.check("iris-ep").is_ok());
        let refused = ENDPOINT.check("iris_ep").unwrap_err();
        assert_eq!(
            refused.message,
            "The endpoint name `iris_ep` has the character `_`"
        );
        let hint = "An endpoint name has 1 to 32 letters, digits and `-`, and begins with a letter or digit";
        assert_eq!(refused.hints, [hint]);
        assert!(WORKSPACE.check("_x").is_ok());
        assert!(WORKSPACE.check("-x").is_err());
    }

    #[test]
    fn only_what_may_be_a_slip_is_suggested() {
        let known = ["src", "training", "brave_otter_1f0c93ab"];
        let suggested = |name| nearest(name, known);
        assert_eq!(suggested("scr"), Some("src"));
        assert_eq!(suggested("trainning"), Some("training"));
        assert_eq!(
            suggested("BRAVE_OTTER_1f0c93a"),
            Some("brave_otter_1f0c93ab")
        );
        assert_eq!(suggested("model"), None);
        assert_eq!(suggested("x"), None);
    }
}
