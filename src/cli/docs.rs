//! `aml docs`: the documents that are generated from the command tree.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Command};
use clap_mangen::Man;

use super::context::Context;
use api::Error;

/// Write the command reference and the man pages below a folder
#[derive(Debug, Args)]
pub struct DocsArgs {
    /// Folder to write `cli-reference.md` and `man/` to
    folder: PathBuf,
}

/// Columns of the reference.
const WIDTH: usize = 100;

pub fn docs(ctx: &Context, args: &DocsArgs) -> anyhow::Result<()> {
    let tree = documented(super::command().styles(clap::builder::Styles::plain()));
    let man = args.folder.join("man");
    let written = fs::create_dir_all(&man)
        .and_then(|()| fs::write(args.folder.join("cli-reference.md"), reference(&tree)))
        .and_then(|()| manual(&tree, &man));
    written
        .map_err(|e| Error::invalid(format!("Cannot write `{}`: {e}", args.folder.display())))?;
    ctx.ui
        .status(&format!("Wrote documents to {}", args.folder.display()));
    Ok(())
}

/// The tree as documents show it: global options once, at the top.
fn documented(tree: Command) -> Command {
    fn below(command: Command) -> Command {
        command
            .mut_args(|arg| {
                let known = arg.is_global_set() || arg.get_id() == "help";
                let hidden = arg.is_hide_set() || known;
                arg.hide(hidden)
            })
            .mut_subcommands(below)
    }
    let mut tree = tree.disable_help_subcommand(true);
    // Hands the global options down.
    tree.build();
    tree.mut_subcommands(below)
}

/// A page for each command that is shown. Its synopsis is the one that `--help` gives.
fn manual(tree: &Command, folder: &Path) -> io::Result<()> {
    let mut page = Vec::new();
    Man::new(tree.clone()).render(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    let usage = tree.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace('-', "\\-");
    let lines: Vec<&str> = usage
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let synopsis = format!(".SH SYNOPSIS\n{}", lines.join("\n.br\n"));
    let (before, rest) = page.split_once(".SH SYNOPSIS\n").unwrap_or((&page, ""));
    let (_, after) = rest.split_once('\n').unwrap_or_default();
    let name = tree.get_display_name().unwrap_or_else(|| tree.get_name());
    fs::write(
        folder.join(format!("{name}.1")),
        format!("{before}{synopsis}\n{after}"),
    )?;
    let mut shown = tree.get_subcommands().filter(|sub| !sub.is_hide_set());
    shown.try_for_each(|sub| manual(sub, folder))
}

fn reference(tree: &Command) -> String {
    let mut text = "# Command reference\n\n\
        Generated from the commands' own help; the tests fail when it is stale.\n\
        Every command also takes the global options of `aml` itself.\n"
        .to_owned();
    sections(tree, &mut text);
    text
}

fn sections(command: &Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let help = command
        .clone()
        .term_width(WIDTH)
        .render_long_help()
        .to_string();
    let _ = write!(text, "\n## {name}\n\n```text\n");
    for line in help.trim().lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str("```\n");
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    for sub in shown.filter(|sub| sub.get_name() != "help") {
        sections(sub, text);
    }
}
