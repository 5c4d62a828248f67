//! Parts of the command tree that are built only when they are asked for: the whole tree is large, and
//! a command line needs one of them.

use std::cell::RefCell;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches, Id, Subcommand};

thread_local! {
    /// The name of the only part that is built, while a tree is built of which no other is needed.
    static ONLY: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Builds a tree with just one of its parts; the others have their names alone.
pub fn only(name: &str, tree: fn() -> Command) -> Command {
    ONLY.set(Some(name.to_owned()));
    let tree = tree();
    ONLY.take();
    tree
}

fn is_asked_for(command: &Command) -> bool {
    ONLY.with_borrow(|only| only.as_ref().is_none_or(|name| name == command.get_name()))
}

/// A command with its options and subcommands, as a part of the tree.
#[derive(Debug)]
pub struct Part<T>(pub T);

impl<T: FromArgMatches> FromArgMatches for Part<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Part<T> {
    fn group_id() -> Option<Id> {
        T::group_id()
    }

    fn augment_args(command: Command) -> Command {
        if is_asked_for(&command) {
            return T::augment_args(command);
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

impl<T: Subcommand> Subcommand for Part<T> {
    fn augment_subcommands(command: Command) -> Command {
        if is_asked_for(&command) {
            return T::augment_subcommands(command);
        }
        command
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        T::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}
