//! `aml webhook`

mod create;
mod delete;
mod list;
mod show;
mod test;
mod update;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::{Args, Subcommand};

use super::{
    args::read_stdin,
    context::Context,
    hidden::ask_hidden,
    views::{Show, View, list as columns, record, time},
};
use api::{
    Error,
    webhooks::{Delivery, Event, Webhook, WebhookTest},
};
use spec::reference::unreadable;

/// Tell other programs what happens to models and prompts
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Update(update::UpdateArgs),
    Test(test::TestArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: WebhookCommand) -> anyhow::Result<()> {
    match command {
        WebhookCommand::Create(args) => create::create(ctx, args).await,
        WebhookCommand::List(args) => list::list(ctx, args).await,
        WebhookCommand::Show(args) => show::show(ctx, args).await,
        WebhookCommand::Update(args) => update::update(ctx, args).await,
        WebhookCommand::Test(args) => test::test(ctx, args).await,
        WebhookCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}

/// What deliveries are signed with.
#[derive(Debug, Args)]
struct SecretArgs {
    /// Sign deliveries; the secret is asked for on a terminal and else read from stdin, without its
    /// last line break
    #[arg(long)]
    signed: bool,
    /// File with the secret to sign with, taken as it is
    #[arg(long, value_name = "FILE", conflicts_with = "signed")]
    secret_file: Option<PathBuf>,
}

impl SecretArgs {
    fn read(self) -> anyhow::Result<Option<String>> {
        if let Some(file) = self.secret_file {
            let read = std::fs::read_to_string(&file).map_err(|e| {
                let shown = file.display().to_string();
                unreadable("file", &shown, &file, &e).at("--secret-file")
            });
            return Ok(Some(read?));
        }
        if !self.signed {
            return Ok(None);
        }
        let secret = if io::stdin().is_terminal() {
            ask_hidden("Secret: ")?
        } else {
            let text = read_stdin()?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            text.strip_suffix('\r').unwrap_or(text).to_owned()
        };
        if secret.is_empty() {
            return Err(Error::invalid("The secret is empty").at("--signed").into());
        }
        Ok(Some(secret))
    }
}

fn events(events: &[Event]) -> String {
    let names: Vec<&str> = events.iter().map(|event| event.name()).collect();
    names.join(" ")
}

fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

impl Show for Webhook {
    fn view(&self) -> View {
        record([
            ("Name", self.name.clone()),
            ("Id", self.id.clone()),
            ("URL", self.url.clone()),
            ("Events", events(&self.events)),
            ("Description", self.description.clone()),
            ("Status", self.status.name().to_owned()),
            ("Signed", yes(self.signed)),
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<Webhook> {
    fn view(&self) -> View {
        columns(
            ["name", "status", "signed", "events", "url", "id"],
            self.iter().map(|webhook| {
                [
                    webhook.name.clone(),
                    webhook.status.name().to_owned(),
                    yes(webhook.signed),
                    events(&webhook.events),
                    webhook.url.clone(),
                    webhook.id.clone(),
                ]
            }),
        )
    }
}

impl Show for WebhookTest {
    fn view(&self) -> View {
        record([
            ("Accepted", yes(self.accepted)),
            (
                "Status",
                self.status
                    .map(|status| status.to_string())
                    .unwrap_or_default(),
            ),
            ("Answer", self.body.trim_end().to_owned()),
            ("Error", self.error.clone().unwrap_or_default()),
        ])
    }
}

impl Show for Vec<Delivery> {
    fn view(&self) -> View {
        columns(
            [
                "event", "state", "attempts", "created", "next", "status", "error", "id",
            ],
            self.iter().map(|delivery| {
                [
                    delivery.event.name().to_owned(),
                    delivery.state.name().to_owned(),
                    delivery.attempts.to_string(),
                    time(delivery.created_at),
                    delivery.next_at.map(time).unwrap_or_default(),
                    delivery
                        .status
                        .map(|status| status.to_string())
                        .unwrap_or_default(),
                    delivery.error.clone().unwrap_or_default(),
                    delivery.id.clone(),
                ]
            }),
        )
    }
}
