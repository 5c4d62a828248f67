//! Everything that is printed goes through here: data to stdout in the format asked for, progress,
//! warnings and hints to stderr.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use anstream::{AutoStream, ColorChoice};
use anstyle::AnsiColor;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use super::{
    error::{DECLINED, Exit},
    paste::Paste,
    question,
    views::Show,
};
use api::{Error, Result};
use spec::issue::Report;

/// What `--output` accepts.
pub const FORMATS: [&str; 7] = ["table", "json", "jsonc", "yaml", "yamlc", "tsv", "none"];

/// Said when the answer to a question was no, or none.
const NOTHING_DONE: &str = "Nothing was done.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
    JsonColor,
    Yaml,
    Tsv,
    None,
}

pub struct Ui {
    format: Format,
    /// A format was named.
    asked: bool,
    query: Option<String>,
    /// Print answers as Azure's command line does, in this format.
    azure: Option<String>,
    /// How commands are shown that the user may paste.
    pub paste: Paste,
    color: ColorChoice,
    stderr: Arc<Mutex<AutoStream<io::Stderr>>>,
    /// A transfer was ended by ctrl-C.
    pub(super) interrupted: AtomicBool,
}

impl Ui {
    /// Of `outputs`, what is no format is a command's own (`run download --output DIR`).
    pub fn new(
        outputs: &[String],
        query: Option<String>,
        paste: Paste,
        no_color: bool,
    ) -> Result<Self> {
        // What is no format is where a download goes.
        let output = outputs.iter().map(|output| output.to_lowercase());
        let output = output
            .rev()
            .find(|output| FORMATS.contains(&output.as_str()));
        let format = match output.as_deref() {
            Some("table") => Format::Table,
            Some("json") => Format::Json,
            Some("jsonc") => Format::JsonColor,
            Some("yaml" | "yamlc") => Format::Yaml,
            Some("tsv") => Format::Tsv,
            Some("none") => Format::None,
            _ if io::stdout().is_terminal() => Format::Table,
            _ => Format::Json,
        };
        if let Some(query) = &query {
            super::query::compile(query).map_err(|e| {
                Error::invalid(format!("The query is not JMESPath: {e}")).at("--query")
            })?;
        }
        let color = if no_color {
            ColorChoice::Never
        } else {
            ColorChoice::Auto
        };
        Ok(Self {
            format,
            asked: output.is_some(),
            query,
            azure: None,
            paste,
            color,
            stderr: Arc::new(Mutex::new(AutoStream::new(io::stderr(), color))),
            interrupted: AtomicBool::new(false),
        })
    }

    /// Prints answers as Azure's command line does from now on.
    pub fn as_azure(&mut self, format: String, query: Option<String>) {
        self.azure = Some(format);
        self.query = query;
    }

    /// Prints an answer on stdout.
    pub fn show<T: Show + Serialize>(&self, answer: &T) -> anyhow::Result<()> {
        if self.azure.is_none() && self.format == Format::Table && self.query.is_none() {
            let view = answer.view();
            if matches!(&view, super::views::View::List { rows, .. } if rows.is_empty()) {
                self.status("There are none.");
            }
            return self.print(&super::views::render(view, terminal_width()));
        }
        if self.azure.is_none() && self.format == Format::Json && self.query.is_none() {
            // Nothing is to be shaped: a long list is written at once, not made a document first.
            return self.print_bytes(&with_newline(serde_json::to_vec_pretty(answer)?));
        }
        let value = serde_json::to_value(answer)?;
        self.show_value(value)
    }

    /// Whether the query is about a field.
    pub fn asks_for(&self, field: &str) -> bool {
        let query = self.query.as_deref();
        query.is_some_and(|query| query.contains(field))
    }

    /// Whether a format or query was asked for, so that a document is not printed as it is.
    pub fn shapes_answers(&self) -> bool {
        self.asked || self.query.is_some()
    }

    /// Whether the answer is to be on stdout by itself, so that programs can read it. Where none was
    /// asked for, what is followed is all there is.
    pub fn answers_alone(&self) -> bool {
        self.azure.is_none() && !matches!(self.format, Format::None) && self.shapes_answers()
    }

    /// Says what was done; with a format or query that was asked for, the answer is on stdout too.
    pub fn done<T: Show + Serialize>(&self, sentence: &str, answer: &T) -> anyhow::Result<()> {
        self.status(sentence);
        self.show_if_asked(answer)
    }

    /// Shows what a command has said already, when a format or query asks for it.
    pub fn show_if_asked<T: Show + Serialize>(&self, answer: &T) -> anyhow::Result<()> {
        if self.answers_alone() {
            return self.show(answer);
        }
        Ok(())
    }

    /// Prints a text that is the answer itself as it is, or as a value where a format was named.
    pub fn show_text(&self, text: &[u8]) -> anyhow::Result<()> {
        if self.answers_alone() {
            return self.show_value(String::from_utf8_lossy(text).into());
        }
        self.print_bytes(text)
    }

    /// Prints what is followed while it comes: on stdout, unless an answer comes there at the end.
    pub fn print_followed(&self, bytes: &[u8]) -> anyhow::Result<()> {
        if !self.answers_alone() {
            return self.print_bytes(bytes);
        }
        let mut err = io::stderr().lock();
        ignore_closed_pipe(err.write_all(bytes).and_then(|()| err.flush()))
    }

    /// Prints any document as an answer.
    pub fn show_value(&self, mut value: Value) -> anyhow::Result<()> {
        if let Some(format) = &self.azure {
            return super::az::print(self, format, self.query.as_deref(), value);
        }
        if let Some(query) = &self.query {
            value = super::query::search(query, &value)
                .map_err(|e| Error::invalid(format!("The query failed: {e}")).at("--query"))?;
        }
        match self.format {
            Format::None => Ok(()),
            Format::Json => self.print_json(&value, false),
            Format::JsonColor => self.print_json(&value, true),
            Format::Yaml => self.print(&serde_saphyr::to_string(&value)?),
            Format::Tsv => self.print(&super::views::tsv(&value)),
            Format::Table => self.print(&super::views::render(
                super::views::of_value(&value),
                terminal_width(),
            )),
        }
    }

    /// Prints a document as JSON, whatever format was asked for.
    pub fn print_json(&self, value: &Value, colored: bool) -> anyhow::Result<()> {
        if colored {
            return self.print(&(color_json(&serde_json::to_string_pretty(value)?) + "\n"));
        }
        self.print_bytes(&with_newline(api::pretty(value)?))
    }

    /// Prints text that is the answer itself (a log, a file) on stdout, as it is.
    pub fn print(&self, text: &str) -> anyhow::Result<()> {
        let mut out = AutoStream::new(io::stdout().lock(), self.color);
        ignore_closed_pipe(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Prints bytes on stdout, unchanged.
    pub fn print_bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        ignore_closed_pipe(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// Says what happened, on stderr.
    pub fn status(&self, sentence: &str) {
        self.say(&format!("{sentence}\n"));
    }

    /// Says what comes up while something else is waited for.
    pub fn teller(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        let stderr = Arc::clone(&self.stderr);
        Arc::new(move |sentence| {
            if let Ok(mut stderr) = stderr.lock() {
                let _ = writeln!(stderr, "{sentence}");
            }
        })
    }

    pub fn warn(&self, sentence: &str) {
        let yellow = AnsiColor::Yellow.on_default().bold();
        self.say(&format!("{yellow}Warning:{yellow:#} {sentence}\n"));
    }

    pub fn hint(&self, sentence: &str) {
        let cyan = AnsiColor::Cyan.on_default().bold();
        let sentence = self.paste.text(sentence);
        self.say(&format!("{cyan}Hint:{cyan:#} {sentence}\n"));
    }

    /// Shows what is wrong with a file, with its lines, on stderr.
    pub fn excerpts(&self, report: &Report) {
        self.say(&report.render(true));
    }

    fn say(&self, text: &str) {
        if let Ok(mut stderr) = self.stderr.lock() {
            let _ = stderr.write_all(text.as_bytes());
        }
    }

    /// Asks before something is lost; without a terminal `--yes` is needed. Ends the command when the
    /// answer is no.
    pub fn confirm(&self, yes: bool, question: &str) -> anyhow::Result<()> {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(
                Error::invalid(format!("{question} There is no terminal to ask on"))
                    .hint("Add --yes to go ahead")
                    .into(),
            );
        }
        let said = self.teller();
        let answer = question::answer(
            || self.say(&format!("{question} [y/N] ")),
            move || said(&format!("\n{NOTHING_DONE}")),
        )?;
        if answer.is_empty() {
            self.say("\n");
        }
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => {
                self.status(NOTHING_DONE);
                Err(Exit(DECLINED).into())
            }
        }
    }

    /// A bar for bytes that is shown, on terminals only, once it is given a target: an empty one would
    /// flash.
    pub fn progress(&self) -> ProgressBar {
        ProgressBar::hidden().with_style(style("{msg} {wide_bar} {bytes}/{total_bytes} {eta}"))
    }

    /// A bar for things that are counted, or a spinner with their number when nobody knows how many
    /// there are.
    pub fn counter(&self, what: &str, total: Option<u64>) -> ProgressBar {
        let style = match total {
            Some(_) => "{msg} {wide_bar} {human_pos}/{human_len} {eta}",
            None => "{spinner} {msg} {human_pos} {elapsed}",
        };
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let bar = self.bar(bar, what, style);
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        bar
    }

    /// A spinner for work whose size is not known, on stderr, shown on terminals only.
    pub fn spinner(&self, what: &str) -> ProgressBar {
        let bar = self.bar(
            ProgressBar::new_spinner(),
            what,
            "{spinner} {msg} {elapsed}",
        );
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        bar
    }

    fn bar(&self, bar: ProgressBar, what: &str, template: &str) -> ProgressBar {
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.set_style(style(template));
        bar.set_message(what.to_owned());
        bar
    }

    /// Columns to fill; a wide page when stdout is no terminal.
    pub fn width(&self) -> usize {
        terminal_width().map_or(200, usize::from)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn with_newline(mut text: Vec<u8>) -> Vec<u8> {
    text.push(b'\n');
    text
}

/// `aml run list | head` is no error.
fn ignore_closed_pipe(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(super::error::Exit(0).into()),
        other => Ok(other?),
    }
}

/// Columns of the terminal; none when stdout is not one.
fn terminal_width() -> Option<u16> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(width.0)
}

/// Keys and values in colours, as `az -o jsonc` prints them.
fn color_json(pretty: &str) -> String {
    let key = AnsiColor::Blue.on_default();
    let text = AnsiColor::Green.on_default();
    let other = AnsiColor::Cyan.on_default();
    let color_value = |value: &str| {
        let (bare, comma) = value
            .strip_suffix(',')
            .map_or((value, ""), |bare| (bare, ","));
        match bare.chars().next() {
            Some('{' | '}' | '[' | ']') | None => value.to_owned(),
            Some('"') => format!("{text}{bare}{text:#}{comma}"),
            Some(_) => format!("{other}{bare}{other:#}{comma}"),
        }
    };
    let lines = pretty.lines().map(|line| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let rest = line.trim_start();
        match rest.strip_prefix('"').and_then(|_| rest.split_once("\": ")) {
            Some((name, value)) => format!("{indent}{key}{name}\"{key:#}: {}", color_value(value)),
            None => format!("{indent}{}", color_value(rest)),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
