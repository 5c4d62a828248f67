//! The door for scripts written for Azure: called by the name `az`, the program takes the commands
//! of Azure's own command line, with its flags, answers, errors and exit codes.
//!
//! Only the verb that is called is made into a parser. What a verb does is done by the operations
//! that the commands of `aml` call.

#![allow(
    clippy::unused_async,
    reason = "what performs a verb has the same form for all of them"
)]

mod account;
mod acr;
mod autoscale;
mod cloud;
mod configure;
mod early;
mod error;
mod extension;
mod given;
mod grammar;
mod group;
pub mod hint;
mod identity;
mod ids;
mod keyvault;
mod ml;
mod output;
mod pattern;
mod place;
mod resource;
mod role;
mod storage;
mod wait;

use std::{path::Path, process::ExitCode};

use given::Given;
use grammar::{Group, Verb};
pub use output::print;

use clap::Command;

use super::{Globals, complete::with_candidates, context::Context, paste::Paste};
use crate::{config::AzConfig, wiring::Wiring};
use api::{Error, Operation, Result, names};

/// All commands.
const GROUPS: &[&Group] = &[
    &cloud::TOP,
    &account::GROUP,
    &configure::CONFIG,
    &extension::GROUP,
    &group::GROUP,
    &resource::GROUP,
    &cloud::PROVIDER,
    &role::GROUP,
    &autoscale::GROUP,
    &autoscale::RULES,
    &autoscale::PROFILES,
    &role::AD,
    &keyvault::GROUP,
    &keyvault::SECRETS,
    &storage::BLOBS,
    &storage::CONTAINERS,
    &storage::FILE_SYSTEMS,
    &storage::ACCOUNTS,
    &storage::KEYS,
    &acr::GROUP,
    &acr::REPOSITORIES,
    &identity::GROUP,
    &ml::workspace::GROUP,
    &ml::outbound_rule::GROUP,
    &ml::data::GROUP,
    &ml::datastore::GROUP,
    &ml::environment::GROUP,
    &ml::component::GROUP,
    &ml::model::GROUP,
    &ml::registry::GROUP,
    &ml::job::GROUP,
    &ml::compute::GROUP,
    &ml::connection::GROUP,
    &ml::schedule::GROUP,
    &ml::online_endpoint::GROUP,
    &ml::online_deployment::GROUP,
    &ml::batch_endpoint::GROUP,
    &ml::batch_deployment::GROUP,
    &early::workspace::GROUP,
    &early::folder::GROUP,
    &early::run::EXPERIMENTS,
    &early::run::GROUP,
    &early::compute::GROUP,
    &early::compute::CREATE,
    &early::compute::ATTACH,
    &early::compute::UPDATE,
    &early::compute::INSTANCES,
    &early::compute::IDENTITIES,
    &early::datastore::GROUP,
    &early::dataset::GROUP,
    &early::environment::GROUP,
    &early::model::GROUP,
    &early::service::GROUP,
    &early::service::REALTIME,
];

/// What every command of `az` needs.
pub struct Az {
    pub ctx: Context,
    pub config: AzConfig,
    /// The resource group and workspace of the command line, else the defaults.
    group: Option<String>,
    workspace: Option<String>,
    /// The resource group of the command line, in which a workspace that is worked in must be.
    asked_group: Option<String>,
    subscription: Option<String>,
}

impl Az {
    fn new(given: &Given, profile: Option<String>, wiring: &'static dyn Wiring) -> Result<Self> {
        let config = AzConfig::load()?;
        let group = given.owned("resource-group");
        let workspace = given.owned("workspace-name");
        let mut workspace = workspace.or_else(|| config.default("workspace"));
        let globals = Globals {
            workspace: workspace.clone(),
            profile,
            ..Globals::default()
        };
        let mut ctx = Context::new(globals, wiring)?;
        if !given.has("workspace-name") {
            workspace = early::workspace_of(&ctx.folder, given, workspace);
            ctx.work_in(workspace.clone());
        }
        let format = given.owned("output");
        let format = format.or_else(|| Some(config.get("core", "output")?.value));
        let format = format.unwrap_or_else(|| "json".to_owned());
        ctx.ui.as_azure(format, given.owned("query"));
        Ok(Self {
            asked_group: group.clone(),
            group: group.or_else(|| config.default("group")),
            workspace,
            subscription: given
                .owned("subscription")
                .or_else(|| given.owned("subscription-id")),
            ctx,
            config,
        })
    }

    async fn call<O: Operation>(&self, operation: &O) -> Result<O::Output> {
        self.ctx.client().await?.call(operation).await
    }

    /// The resource group to work in.
    fn group(&self) -> Result<&str> {
        let missing = || {
            given::missing(&["resource-group/-g"])
                .hint("Set a default: az configure --defaults group=NAME")
        };
        self.group.as_deref().ok_or_else(missing)
    }

    /// The workspace to work in.
    fn workspace(&self) -> Result<String> {
        if let Some(workspace) = &self.workspace {
            return Ok(workspace.clone());
        }
        let missing = || {
            given::missing(&["workspace-name/-w"])
                .hint("Set a default: az configure --defaults workspace=NAME")
        };
        self.ctx.chosen_workspace()?.ok_or_else(missing)
    }

    /// Says what scripts need not read.
    fn note(&self, given: &Given, sentence: &str) {
        if !given.switch("only-show-errors") {
            self.ctx.ui.status(sentence);
        }
    }
}

/// Whether the program was called by the name `az`.
pub fn is_called(program: Option<&str>) -> bool {
    let name = program.and_then(|program| Path::new(program).file_name());
    name.is_some_and(|name| name == "az")
}

/// All commands as one tree, for completion.
fn tree() -> Command {
    let group = |tree: Command, group: &&Group| {
        let path: Vec<&'static str> = group.path.split_whitespace().collect();
        with_group(tree, &path, group)
    };
    GROUPS.iter().fold(Command::new("az"), group)
}

/// A command with a group below it, and the groups on the way there.
fn with_group(command: Command, path: &[&'static str], group: &Group) -> Command {
    match path {
        [] => {
            let verbs = group.verbs.iter();
            let new = verbs.filter(|verb| command.find_subcommand(verb.name).is_none());
            let new: Vec<Command> = new.map(Verb::in_tree).collect();
            command.about(group.about).subcommands(new)
        }
        [next, rest @ ..] => {
            if command
                .get_subcommands()
                .any(|known| known.get_name() == *next)
            {
                return command.mut_subcommand(next, |below| with_group(below, rest, group));
            }
            command.subcommand(with_group(Command::new(*next), rest, group))
        }
    }
}

/// Runs the command line of this process.
pub fn main(wiring: &'static dyn Wiring) -> ExitCode {
    clap_complete::CompleteEnv::with_factory(|| with_candidates(tree(), wiring)).complete();
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let is_word = |word: &&String| !word.starts_with('-');
    let path: Vec<&str> = words
        .iter()
        .take_while(is_word)
        .map(String::as_str)
        .collect();
    let Some((group, verb, rest)) = find(&path, &words) else {
        return elsewhere(&path, &words, wiring);
    };
    run(group, verb, &words[rest..], wiring)
}

/// The command that the first words name, and how many words that are.
///
/// Some names are those of a command of today and of one of 2020. It is today's, unless a word is a
/// flag that only the other one takes.
fn find(path: &[&str], words: &[String]) -> Option<Called> {
    let mut called = GROUPS.iter().filter_map(|group| {
        let own: Vec<&str> = group.path.split_whitespace().collect();
        let rest = path.strip_prefix(own.as_slice())?;
        let called = rest.first()?;
        let verb = group.verbs.iter().find(|verb| verb.name == *called)?;
        Some((*group, verb, own.len() + 1))
    });
    let first = called.next()?;
    let only_there =
        |word: &String, (_, verb, _): &Called| verb.knows(word) && !first.1.knows(word);
    let other = called.find(|other| words.iter().any(|word| only_there(word, other)));
    Some(other.unwrap_or(first))
}

/// A command, its group, and how many words name it.
type Called = (&'static Group, &'static Verb, usize);

fn run(group: &Group, verb: &Verb, words: &[String], wiring: &'static dyn Wiring) -> ExitCode {
    let called = ["az", group.path, verb.name];
    let called = called.iter().filter(|word| !word.is_empty()).copied();
    let called = called.collect::<Vec<_>>().join(" ");
    let words = match verb.expand(words) {
        Ok(words) => words,
        Err(message) => return error::usage(&message, &called),
    };
    let given = match verb.command(called.clone()).try_get_matches_from(words) {
        Ok(matches) => Given(matches),
        Err(error) if error.exit_code() == 0 => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return error::usage(&error::parser(&error, verb), &called),
    };
    match perform(verb, &given, wiring) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error),
    }
}

/// Performs a verb of `az ml service`, on the same target as `ctx`.
pub async fn service(ctx: &Context, words: &[String]) -> anyhow::Result<()> {
    let group = &early::service::GROUP;
    let called = words.first().map_or("", String::as_str);
    let Some(verb) = group.verbs.iter().find(|verb| verb.name == called) else {
        let all = || group.verbs.iter().map(|verb| verb.name);
        let error = Error::invalid(format!("There is no command `service {called}`"));
        return Err(match names::nearest(called, all()) {
            Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
            None => error.hint(format!(
                "There are {}",
                all().collect::<Vec<_>>().join(", ")
            )),
        }
        .into());
    };
    let words = verb.expand(&words[1..]).map_err(Error::invalid)?;
    let command = verb.command(format!("aml service {called}"));
    let given = match command.try_get_matches_from(words) {
        Ok(matches) => Given(matches),
        Err(error) if error.exit_code() == 0 => return ctx.ui.print(&error.to_string()),
        Err(error) => return Err(Error::invalid(error::parser(&error, verb)).into()),
    };
    let profile = ctx.profile().unwrap_or("local").to_owned();
    let mut az = Az::new(&given, Some(profile), ctx.wiring)?;
    if !given.has("workspace-name") {
        let workspace = ctx.workspace().await?;
        az.ctx.work_in(Some(workspace.clone()));
        az.workspace = Some(workspace);
    }
    let answer = (verb.run)(&az, &given).await?;
    // What was asked for before the word `service` counts as well.
    let own = given.has("output") || given.has("query");
    let ui = if own { &az.ctx.ui } else { &ctx.ui };
    if answer.is_null() {
        return Ok(());
    }
    ui.show_value(answer)
}

fn perform(verb: &Verb, given: &Given, wiring: &'static dyn Wiring) -> anyhow::Result<()> {
    let query = given.text("query");
    query
        .map(|query| output::check_query("query", query))
        .transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut az = Az::new(given, None, wiring)?;
        az.ctx.ui.paste = Paste::azure();
        let answer = (verb.run)(&az, given).await;
        let answer = answer.map_err(|error| az.ctx.ui.ended(error))?;
        az.ctx.ui.show_value(answer)
    })
}

/// Words that name no command: a group is explained, anything else is an error with the nearest word.
fn elsewhere(path: &[&str], words: &[String], wiring: &'static dyn Wiring) -> ExitCode {
    let (below, known) = deepest(path);
    let begun = path[..known].join(" ");
    let begun = format!("az {begun}");
    let begun = begun.trim_end();
    let asks = words
        .get(known)
        .is_none_or(|word| word == "-h" || word == "--help");
    let called = |words: &str| {
        words
            .split(' ')
            .eq(path.iter().copied().take(words.split(' ').count()))
    };
    if let Some((words, why)) = cloud::NOT_HERE.iter().find(|(words, _)| called(words)) {
        let error = Error::unsupported(format!("`az {words}` means nothing here: {why}"));
        return error::report(&error.into());
    }
    if let Some(word) = path.get(known) {
        let nearest = names::nearest(word, below.iter().map(|(name, _)| *name));
        let nearest = nearest.map(|nearest| format!("\nDid you mean '{nearest}' ?"));
        let nearest = nearest.unwrap_or_default();
        return error::usage(
            &format!("'{word}' is misspelled or not recognized by the system.{nearest}"),
            begun,
        );
    }
    if words.iter().any(|word| word == "--version" || word == "-v") && known == 0 {
        return run(&cloud::TOP, &cloud::VERSION_TEXT, &[], wiring);
    }
    if !asks {
        return error::usage("the following arguments are required: _subcommand", begun);
    }
    let width = below.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = below
        .iter()
        .map(|(name, about)| format!("    {name:width$} : {about}\n"));
    let text = format!(
        "\nGroup\n    {begun}\n\nCommands:\n{}",
        lines.collect::<String>()
    );
    match Context::new(Globals::default(), wiring).map(|ctx| ctx.ui.print(&text)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// What can follow as many of the words as are known, and how many those are.
fn deepest(path: &[&str]) -> (Vec<Below>, usize) {
    let known = (0..=path.len()).rev();
    let known = known.map(|known| (following(&path[..known]), known));
    let mut known = known.filter(|(below, _)| !below.is_empty());
    known.next().unwrap_or_default()
}

/// A word that can follow, and what it is about.
type Below = (&'static str, &'static str);

fn following(begin: &[&str]) -> Vec<Below> {
    // A group of groups alone is what the first of them is about.
    let mut below: Vec<(bool, Below)> = Vec::new();
    for group in GROUPS {
        let own: Vec<&'static str> = group.path.split_whitespace().collect();
        let begins = own.iter().zip(begin).all(|(own, begun)| own == begun);
        if own.len() < begin.len() || !begins {
            continue;
        }
        match own[begin.len()..] {
            [] => {
                let verbs = group.verbs.iter();
                below.extend(verbs.map(|verb| (false, (verb.name, verb.about))));
            }
            [next] => below.push((false, (next, group.about))),
            [next, ..] => below.push((true, (next, group.about))),
        }
    }
    below.sort_by_key(|(deeper, (name, _))| (*name, *deeper));
    below.dedup_by_key(|(_, (name, _))| *name);
    below.into_iter().map(|(_, below)| below).collect()
}

#[cfg(test)]
mod tests {
    use super::{GROUPS, find, grammar::Verb};

    fn verb(path: &str) -> &'static Verb {
        let path: Vec<&str> = path.split(' ').collect();
        find(&path, &[]).unwrap().1
    }

    #[test]
    fn every_verb_makes_a_parser() {
        for group in GROUPS {
            for verb in group.verbs {
                verb.command(format!("az {} {}", group.path, verb.name))
                    .debug_assert();
            }
        }
    }

    #[test]
    fn long_flags_may_be_cut_short() {
        let expand = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            verb("ml workspace create").expand(&words)
        };
        assert_eq!(expand(&["--out=tsv"]).unwrap(), ["--output=tsv"]);
        assert_eq!(expand(&["--f", "--name"]).unwrap(), ["--file", "--name"]);
        assert_eq!(expand(&["--nonsense"]).unwrap(), ["--nonsense"]);
        assert_eq!(
            expand(&["--de", "x"]).unwrap_err(),
            "ambiguous option: --de could match --description, --default-resource-group, --debug"
        );
    }

    #[test]
    fn a_flag_that_only_a_command_of_2020_takes_means_that_one() {
        let takes_id = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let path: Vec<&str> = words.iter().map(String::as_str).collect();
            let (_, verb, _) = find(&path[..3], &words[3..]).unwrap();
            verb.all_flags().any(|flag| flag.long == "subscription-id")
        };
        assert!(!takes_id("ml model show -n m"));
        assert!(!takes_id("ml model show --name m --version 2"));
        assert!(takes_id("ml model show -i m:1"));
        assert!(takes_id("ml model show --model-id m:1"));
        assert!(takes_id("ml model list --run-id r"));
        assert!(takes_id("ml workspace create -w w -g g --sku basic"));
        assert!(!takes_id("ml workspace create -n w -g g"));
        assert!(takes_id("ml run list"));
    }

    #[test]
    fn what_is_no_flag_of_the_command_belongs_to_the_script() {
        let expand = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            verb("ml run submit-script")
                .expand(&words)
                .unwrap()
                .join(" ")
        };
        assert_eq!(
            expand("-e first train.py --rate 0.1 -x --targ cpu --async"),
            "-e first --target cpu --async -- train.py --rate 0.1 -x"
        );
        assert_eq!(
            expand("--async -- train.py -e 5"),
            "--async -- train.py -e 5"
        );
    }
}
