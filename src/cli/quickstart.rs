//! `aml quickstart`

use std::{
    fs, io,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use clap::Args;
use tokio::time::timeout;

use super::{
    context::Context,
    error::{Exit, INTERRUPTED},
    interrupt,
    run::naming,
    run_line,
};
use api::{
    Code, Error,
    access::WhoAmI,
    endpoints::{GetEndpoint, GetEndpointKeys},
    models::{GetModel, ListModels},
    runs::{BestRun, Goal},
    workspaces::GetWorkspace,
};
use client::Client;

/// How long a step that is interrupted has to say so.
const LAST_WORDS: Duration = Duration::from_millis(500);
const WORKSPACE: &str = "quickstart";
const NAME: &str = "iris";
const ROWS: &str = r#"{"data": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}"#;
const STRENGTHS: [&str; 3] = ["0.01", "0.1", "1"];
const FILES: [(&str, &str); 3] = [
    ("train.py", include_str!("../../examples/iris/train.py")),
    ("score.py", include_str!("../../examples/iris/score.py")),
    (
        "requirements.txt",
        include_str!("../../examples/iris/requirements.txt"),
    ),
];

/// See it all work: train, compare, register, deploy and score a model
///
/// Runs the commands that it prints: trains a scikit-learn classifier three times in a workspace
/// `quickstart`, registers the best, deploys it as an HTTP endpoint and asks it about two flowers.
/// The first time it also builds the Python environment, and what runs in a new one is slower until it
/// has been compiled in idle time.
#[derive(Debug, Args)]
pub struct QuickstartArgs {}

/// Ctrl-C ends it at every step; one that has something to say about that says it.
pub async fn quickstart(ctx: &Context, _args: QuickstartArgs) -> anyhow::Result<()> {
    let mut tour = pin!(tour(ctx));
    tokio::select! {
        biased;
        done = &mut tour => done,
        () = interrupt::ctrl_c() => match timeout(LAST_WORDS, tour).await {
            Ok(done) => done,
            Err(_) => Err(Exit(INTERRUPTED).into()),
        },
    }
}

async fn tour(ctx: &Context) -> anyhow::Result<()> {
    if let Some(named) = ctx.named_workspace()
        && !named.eq_ignore_ascii_case(WORKSPACE)
    {
        return Err(Error::invalid(format!(
            "The quickstart works in a workspace of its own, `{WORKSPACE}`, not in `{named}`"
        ))
        .at("--workspace")
        .hint("Leave it out: aml quickstart")
        .into());
    }
    check_machine(ctx).await?;
    let client = ctx.client().await?;
    let missing = workspace_is_missing(client).await?;
    if missing {
        check_may_create(client).await?;
    }
    let tour = Tour {
        ctx,
        folder: write_files(&ctx.config.home.join("quickstart"))?,
    };
    let folder = tour.folder.display();
    ctx.ui.status(&format!("The scripts are in {folder}"));

    tour.title("A workspace");
    if missing {
        tour.run("workspace create -n quickstart", &["--output", "none"])
            .await?;
    } else {
        ctx.ui
            .status(&format!("The workspace {WORKSPACE} is there already."));
    }

    tour.title("Three training runs, each with its code, environment, log and metrics");
    for strength in STRENGTHS {
        let name = naming::new_name();
        let line = format!(
            "run submit --experiment {NAME} --name {name} --code . --env requirements.txt --stream -- python train.py --C {strength}"
        );
        tour.run(&line, &["--output", "none"]).await?;
    }

    tour.title("Side by side");
    tour.run(&format!("run list --experiment {NAME} --limit 3"), &[])
        .await?;

    tour.title("The best, registered as a model");
    let line = format!("run best --experiment {NAME} --metric accuracy --goal maximize");
    tour.run(&line, &["--output", "none"]).await?;
    let best = client.call(&best_run()).await?.run;
    ctx.ui.status(&format!("{} is the best.", best.name));
    let version = match registered(client, &best.name).await? {
        Some(version) => {
            let known = format!("It is registered already, as {NAME}:{version}.");
            ctx.ui.status(&known);
            version
        }
        None => {
            let line = format!(
                "model register -n {NAME} --from-run {} --path outputs/model --type custom",
                best.name
            );
            tour.run(&line, &["--output", "none"]).await?;
            client.call(&newest_model()).await?.version
        }
    };

    tour.title("An HTTP endpoint");
    let line =
        format!("deploy {NAME}:{version} --name {NAME} --script score.py --env requirements.txt");
    tour.run(&line, &["--output", "none"]).await?;

    tour.title("Two flowers scored");
    tour.run(&format!("endpoint score {NAME} --data '{ROWS}'"), &[])
        .await?;
    ctx.ui.print(&farewell(ctx, client).await?)
}

/// Says what is missing before anything is made. With a server the runs are executed there.
async fn check_machine(ctx: &Context) -> Result<(), Error> {
    match ctx.profile() {
        Some(_) => Ok(()),
        None => ctx.wiring.check_python(&ctx.config.passed_on).await,
    }
}

/// Runs commands in the quickstart's folder and workspace, and shows them.
struct Tour<'a> {
    ctx: &'a Context,
    folder: PathBuf,
}

impl Tour<'_> {
    fn title(&self, text: &str) {
        self.ctx.ui.status(&format!("\n{text}"));
    }

    /// Runs a command line as a user would type it; `quietly` are further words that are not shown.
    async fn run(&self, line: &str, quietly: &[&str]) -> anyhow::Result<()> {
        // Unless the command is about the workspace itself, it is done in this one.
        let line = if line.starts_with("workspace ") {
            line.to_owned()
        } else {
            in_workspace(line)
        };
        let shown = self.ctx.ui.paste.command(&format!("aml {line}"));
        self.ctx.ui.status(&format!("$ {shown}"));
        let mut words = vec!["aml"];
        if let Some(profile) = self.ctx.profile() {
            words.extend(["--profile", profile]);
        }
        words.extend(if quietly.is_empty() {
            &["--output", "table"]
        } else {
            quietly
        });
        match line.split_once(" '") {
            Some((plain, quoted)) => {
                let (quoted, after) = quoted.split_once('\'').unwrap_or((quoted, ""));
                words.extend(plain.split(' '));
                words.push(quoted);
                words.extend(after.split_whitespace());
            }
            None => words.extend(line.split(' ')),
        }
        Box::pin(run_line(self.ctx, &words, &self.folder)).await
    }
}

/// A command line with the quickstart's workspace named.
fn in_workspace(line: &str) -> String {
    match line.split_once(" -- ") {
        Some((own, passed_on)) => format!("{own} -w {WORKSPACE} -- {passed_on}"),
        None => format!("{line} -w {WORKSPACE}"),
    }
}

/// Lays out the scripts that ship with the binary; a file the user has changed stays.
fn write_files(folder: &Path) -> Result<PathBuf, Error> {
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for (name, text) in FILES {
            let path = folder.join(name);
            if !path.exists() {
                fs::write(path, text)?;
            }
        }
        Ok(())
    };
    match write() {
        Ok(()) => Ok(folder.to_owned()),
        Err(e) => Err(Error::unavailable(format!(
            "Cannot write the scripts to `{}`: {e}",
            folder.display()
        ))
        .hint("Choose a state directory that you may write to: AML_HOME=FOLDER aml quickstart")),
    }
}

async fn workspace_is_missing(client: &Client) -> Result<bool, Error> {
    let get = GetWorkspace {
        workspace: WORKSPACE.to_owned(),
    };
    match client.call(&get).await {
        Ok(_) => Ok(false),
        Err(error) if error.code == Code::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Says who can make the workspace, where the caller cannot.
async fn check_may_create(client: &Client) -> Result<(), Error> {
    let me = client.call(&WhoAmI {}).await?;
    if me.admin {
        return Ok(());
    }
    let name = me.name;
    Err(Error::denied(format!(
        "The quickstart works in a workspace `{WORKSPACE}`, which `{name}` cannot see, and only admins create workspaces"
    ))
    .hint(format!("An admin can create it: aml workspace create -n {WORKSPACE}"))
    .hint(format!(
        "And share it: aml workspace share add -n {WORKSPACE} --user {name} --role data-scientist"
    ))
    .hint("Then call this again; or try it on this machine: aml quickstart --profile local"))
}

fn best_run() -> BestRun {
    BestRun {
        workspace: WORKSPACE.to_owned(),
        experiment: NAME.to_owned(),
        metric: "accuracy".to_owned(),
        goal: Goal::Maximize,
    }
}

/// The version that is the model of a run: a start before this one has registered it.
async fn registered(client: &Client, run: &str) -> Result<Option<u64>, Error> {
    let list = ListModels {
        workspace: WORKSPACE.to_owned(),
        name: Some(NAME.to_owned()),
        ..ListModels::default()
    };
    let versions = match client.call(&list).await {
        Err(error) if error.code == Code::NotFound => return Ok(None),
        versions => versions?.into_iter(),
    };
    let of_run = versions.filter(|model| model.lineage.run.as_deref() == Some(run));
    Ok(of_run.map(|model| model.version).max())
}

fn newest_model() -> GetModel {
    GetModel {
        workspace: WORKSPACE.to_owned(),
        name: NAME.to_owned(),
        ..GetModel::default()
    }
}

/// Where the endpoint is, how others call it, how to stop and clean up.
async fn farewell(ctx: &Context, client: &Client) -> Result<String, Error> {
    let (workspace, name) = (WORKSPACE.to_owned(), NAME.to_owned());
    let get = GetEndpoint {
        workspace: workspace.clone(),
        name: name.clone(),
    };
    let uri = client.call(&get).await?.scoring_uri;
    let key = client
        .call(&GetEndpointKeys { workspace, name })
        .await?
        .primary;
    let paste = |line: String| ctx.ui.paste.command(&line);
    let stop = paste(format!("aml endpoint stop {NAME} -w {WORKSPACE}"));
    let delete = paste(format!("aml workspace delete -n {WORKSPACE} --yes"));
    Ok(format!(
        "\nThe endpoint is at {uri}. To ask it:\n\n  \
         curl {uri} -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{ROWS}'\n\n\
         To stop it:       {stop}\n\
         To remove it all: {delete}\n"
    ))
}
