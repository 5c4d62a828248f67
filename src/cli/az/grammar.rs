//! How commands of `az` are described: a table of groups, verbs and flags, from which the parser of
//! the one verb that was called is made.

use clap::{Arg, ArgAction, Command, builder::PossibleValuesParser};
use futures_util::future::LocalBoxFuture;
use serde_json::Value;

use super::{Az, given::Given};
use crate::ui::FORMATS;

/// Performs a verb; the answer is printed unless it is null.
pub type Run = for<'a> fn(&'a Az, &'a Given) -> LocalBoxFuture<'a, anyhow::Result<Value>>;

/// Commands with a common beginning, such as `ml data`.
pub struct Group {
    /// The words before the verb.
    pub path: &'static str,
    pub about: &'static str,
    pub verbs: &'static [Verb],
}

/// One command.
pub struct Verb {
    pub name: &'static str,
    pub about: &'static str,
    /// Sets of flags, some of them shared by many verbs.
    pub flags: &'static [&'static [Flag]],
    pub run: Run,
}

/// A verb from its name, what it does, its flags and the function that performs it.
macro_rules! verb {
    ($name:literal, $about:literal, [$($flags:expr),* $(,)?], $run:expr $(, $more:expr)*) => {
        $crate::az::grammar::Verb {
            name: $name,
            about: $about,
            flags: &[$($flags),*],
            run: |az, given| Box::pin($run(az, given $(, $more)*)),
        }
    };
}
pub(super) use verb;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// One word.
    Word,
    /// One or more words, and it may be repeated.
    Words,
    /// One word, and it may be repeated.
    Repeated,
    /// Nothing.
    Nothing,
    /// A word, or nothing for `true`.
    MaybeWord,
    /// Words without a name.
    Positional,
    /// A script with its arguments, which may look like flags.
    Script,
}

#[derive(Debug, Clone, Copy)]
pub struct Flag {
    pub long: &'static str,
    aliases: &'static [&'static str],
    short: Option<char>,
    also_short: Option<char>,
    takes: Takes,
    required: bool,
    choices: &'static [&'static str],
    /// The flag with which it cannot be given.
    excluded: Option<&'static str>,
    help: &'static str,
}

/// A flag with a value.
pub const fn flag(long: &'static str, help: &'static str) -> Flag {
    Flag {
        long,
        aliases: &[],
        short: None,
        also_short: None,
        takes: Takes::Word,
        required: false,
        choices: &[],
        excluded: None,
        help,
    }
}

/// A flag without a value.
pub const fn switch(long: &'static str, help: &'static str) -> Flag {
    let mut made = flag(long, help);
    made.takes = Takes::Nothing;
    made
}

impl Flag {
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// Another letter by which it is known.
    pub const fn also(mut self, short: char) -> Self {
        self.also_short = Some(short);
        self
    }

    /// Other names by which it is known.
    pub const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn not_with(mut self, other: &'static str) -> Self {
        self.excluded = Some(other);
        self
    }

    pub const fn many(mut self) -> Self {
        self.takes = Takes::Words;
        self
    }

    /// It may be given several times, with one word each.
    pub const fn repeated(mut self) -> Self {
        self.takes = Takes::Repeated;
        self
    }

    /// Its value may be left out and is then `true`.
    pub const fn maybe(mut self) -> Self {
        self.takes = Takes::MaybeWord;
        self
    }

    pub const fn positional(mut self) -> Self {
        self.takes = Takes::Positional;
        self
    }

    /// Words without a name, of which those that are no flags of the command belong to a script.
    pub const fn script(mut self) -> Self {
        self.takes = Takes::Script;
        self
    }

    const fn is_named(&self) -> bool {
        !matches!(self.takes, Takes::Positional | Takes::Script)
    }

    pub const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    /// How a usage message names it.
    pub fn shown(&self) -> String {
        match (self.takes, self.short) {
            _ if !self.is_named() => self.long.to_uppercase(),
            (_, Some(short)) => format!("--{}/-{short}", self.long),
            (_, None) => format!("--{}", self.long),
        }
    }

    fn arg(&self) -> Arg {
        let mut arg = Arg::new(self.long).help(self.help).required(self.required);
        if self.is_named() {
            arg = arg.long(self.long).visible_aliases(self.aliases.to_vec());
        }
        if let Some(short) = self.short {
            arg = arg.short(short).visible_short_aliases(self.also_short);
        }
        if let Some(other) = self.excluded {
            arg = arg.conflicts_with(other);
        }
        if !self.choices.is_empty() {
            arg = arg
                .value_parser(PossibleValuesParser::new(self.choices))
                .ignore_case(true);
        }
        match self.takes {
            Takes::Word => arg.allow_negative_numbers(true),
            Takes::Words => arg
                .action(ArgAction::Append)
                .num_args(0..)
                .allow_negative_numbers(true),
            Takes::Repeated => arg.action(ArgAction::Append).allow_negative_numbers(true),
            Takes::Nothing => arg.action(ArgAction::SetTrue),
            Takes::MaybeWord => arg.num_args(0..=1).default_missing_value("true"),
            Takes::Positional | Takes::Script => arg.num_args(1..),
        }
    }
}

/// What every command takes.
pub const GLOBAL: &[Flag] = &[
    flag("output", "Output format").short('o').choices(&FORMATS),
    flag("query", "JMESPath query to apply to the answer"),
    flag("subscription", "Name or id of the subscription"),
    switch("only-show-errors", "Show errors alone, no warnings"),
    switch("verbose", "Say more of what is done"),
    switch("debug", "Say all of what is done"),
];
pub const GROUP: &[Flag] = &[flag("resource-group", "Name of the resource group").short('g')];
pub const PLACE: &[Flag] = &[
    flag("resource-group", "Name of the resource group").short('g'),
    flag("workspace-name", "Name of the workspace").short('w'),
];
pub const REGISTRY: &[Flag] = &[flag(
    "registry-name",
    "Registry to work in, instead of a workspace",
)];
pub const SET: &[Flag] = &[flag(
    "set",
    "Value to change before it is used, as a.b[0].c=value",
)
.many()];
pub const GENERIC: &[Flag] = &[
    flag("set", "Value to set, as a.b[0].c=value").many(),
    flag(
        "add",
        "Value to add to a list, as a.list value or a.list key=value",
    )
    .many(),
    flag("remove", "Value to remove, as a.b or a.list 0").many(),
    switch(
        "force-string",
        "Take the values of --set and --add as strings",
    ),
];
pub const NO_WAIT: &[Flag] = &[switch("no-wait", "Do not wait until it is done")];
pub const YES: &[Flag] = &[switch("yes", "Do not ask").short('y')];
pub const NAME: &[Flag] = &[flag("name", "Name").short('n')];
pub const THE_NAME: &[Flag] = &[flag("name", "Name").short('n').required()];
pub const FILE: &[Flag] = &[flag("file", "YAML file that describes it").short('f')];
pub const THE_FILE: &[Flag] = &[flag("file", "YAML file that describes it")
    .short('f')
    .required()];
pub const MAX: &[Flag] = &[flag("max-results", "At most so many").short('r')];
pub const ARCHIVED: &[Flag] = &[
    switch("archived-only", "List archived ones alone").not_with("include-archived"),
    switch("include-archived", "List archived ones too"),
];
pub const VERSION: &[Flag] = &[flag("version", "Version").short('v')];
pub const LABEL: &[Flag] = &[flag("label", "Label of the version").short('l')];

impl Verb {
    pub fn all_flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags
            .iter()
            .copied()
            .chain(std::iter::once(GLOBAL))
            .flatten()
    }

    /// The parser of the verb; `called` is what the user typed before its flags.
    pub fn command(&self, called: String) -> Command {
        Command::new(called)
            .no_binary_name(true)
            .args_override_self(true)
            .about(self.about)
            .args(self.all_flags().map(Flag::arg))
    }

    /// The verb as a command below its group.
    pub fn in_tree(&self) -> Command {
        Command::new(self.name)
            .about(self.about)
            .args(self.all_flags().map(Flag::arg))
    }

    /// Writes out long flags of which only the beginning was given. Two that begin so are an error,
    /// whose sentence is answered.
    pub fn expand(&self, words: &[String]) -> Result<Vec<String>, String> {
        let mut expanded = Vec::new();
        let mut ended = false;
        for word in words {
            ended |= word == "--";
            let long = word
                .strip_prefix("--")
                .filter(|rest| !ended && !rest.is_empty());
            expanded.push(match long {
                Some(given) => self.whole(given)?,
                None => word.clone(),
            });
        }
        Ok(self.apart(expanded))
    }

    /// The flag that a word is, if the verb takes it.
    fn flag(&self, word: &str) -> Option<&'static Flag> {
        let name = word.split('=').next().unwrap_or(word);
        let named = |flag: &&Flag| match name.strip_prefix("--") {
            Some(long) => flag.long == long || flag.aliases.contains(&long),
            None => {
                let letter = name.strip_prefix('-').and_then(|rest| rest.chars().next());
                letter.is_some() && (flag.short == letter || flag.also_short == letter)
            }
        };
        self.all_flags().filter(|flag| flag.is_named()).find(named)
    }

    /// Whether a word is a flag that the verb takes.
    pub fn knows(&self, word: &str) -> bool {
        let is_flag = word.len() > 1 && word.starts_with('-');
        let whole = match word.strip_prefix("--") {
            Some(rest) if !rest.is_empty() => self.whole(rest).unwrap_or_default(),
            _ => word.to_owned(),
        };
        is_flag && self.flag(&whole).is_some()
    }

    /// Of a verb that takes a script, the words of the script behind the verb's own flags.
    fn apart(&self, words: Vec<String>) -> Vec<String> {
        if !self.all_flags().any(|flag| flag.takes == Takes::Script) {
            return words;
        }
        let (mut flags, mut script) = (Vec::new(), Vec::new());
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                script.extend(words.by_ref());
                break;
            }
            let flag = self.flag(&word).filter(|_| word.starts_with('-'));
            let help = word == "--help" || word == "-h";
            match flag {
                None if !help => script.push(word),
                flag => {
                    let whole = word.contains('=') || !word.starts_with("--") && word.len() > 2;
                    let takes = flag.map(|flag| flag.takes);
                    flags.push(word);
                    if !whole && !matches!(takes, None | Some(Takes::Nothing)) {
                        flags.extend(words.next());
                    }
                }
            }
        }
        if !script.is_empty() {
            flags.push("--".to_owned());
            flags.append(&mut script);
        }
        flags
    }

    fn whole(&self, given: &str) -> Result<String, String> {
        let (begin, value) = match given.split_once('=') {
            Some((begin, value)) => (begin, format!("={value}")),
            None => (given, String::new()),
        };
        let names = || {
            self.all_flags()
                .filter(|flag| flag.is_named())
                .flat_map(|flag| std::iter::once(flag.long).chain(flag.aliases.iter().copied()))
                .chain(["help"])
        };
        if names().any(|name| name == begin) {
            return Ok(format!("--{given}"));
        }
        let found: Vec<&str> = names().filter(|name| name.starts_with(begin)).collect();
        match found.as_slice() {
            [] => Ok(format!("--{given}")),
            [one] => Ok(format!("--{one}{value}")),
            several => Err(format!(
                "ambiguous option: --{begin} could match --{}",
                several.join(", --")
            )),
        }
    }
}
