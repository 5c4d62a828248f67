//! `az ml job`

use serde_json::{Value, json};

use crate::{
    az::{
        Az,
        given::Given,
        grammar::{
            ARCHIVED, Flag, GENERIC, Group, NAME, PLACE, SET, THE_FILE, THE_NAME, flag, switch,
            verb,
        },
    },
    job::{self, JobArg, entity::Entity},
};
use api::{
    Code, Error,
    runs::{GetRun, RunStatus},
};

const WEB: &[Flag] = &[switch("web", "Say where its page is").short('e')];
const NODE: &[Flag] = &[flag("node-index", "Number of the node").short('i')];

pub const GROUP: Group = Group {
    path: "ml job",
    about: "Jobs",
    verbs: &[
        verb!(
            "create",
            "Create a job and queue it",
            [
                PLACE,
                NAME,
                THE_FILE,
                SET,
                WEB,
                &[
                    flag("save-as", "File to write the created job to").short('a'),
                    switch("stream", "Follow the job to its end").short('s'),
                    switch(
                        "skip-validation",
                        "What cannot be understood is refused all the same"
                    ),
                ]
            ],
            create
        ),
        verb!("show", "Show a job", [PLACE, THE_NAME, WEB], show),
        verb!(
            "list",
            "List jobs, newest first",
            [
                PLACE,
                ARCHIVED,
                &[
                    flag("max-results", "At most so many").short('r'),
                    switch("all-results", "All of them"),
                    flag("parent-job-name", "Only the children of this job").short('p'),
                ]
            ],
            list
        ),
        verb!(
            "stream",
            "Print a job's log until the job has ended",
            [PLACE, THE_NAME],
            stream
        ),
        verb!(
            "download",
            "Download what a job made",
            [
                PLACE,
                THE_NAME,
                &[
                    flag("download-path", "Folder to write to").short('p'),
                    flag("output-name", "Only this output"),
                    switch("all", "All named outputs as well"),
                ]
            ],
            download
        ),
        verb!("cancel", "Stop a job", [PLACE, THE_NAME], cancel),
        verb!(
            "archive",
            "Hide a job from lists",
            [PLACE, THE_NAME],
            archive,
            true
        ),
        verb!(
            "restore",
            "Bring an archived job back",
            [PLACE, THE_NAME],
            archive,
            false
        ),
        verb!(
            "update",
            "Change a job's name to show, description, experiment and tags",
            [PLACE, THE_NAME, GENERIC, WEB],
            update
        ),
        verb!(
            "validate",
            "Check the file of a job",
            [PLACE, THE_FILE, SET],
            validate
        ),
        verb!(
            "show-services",
            "Show the services of a job",
            [PLACE, THE_NAME, NODE],
            services
        ),
        verb!(
            "connect-ssh",
            "Not here: jobs run on the machine of the worker",
            [
                PLACE,
                THE_NAME,
                NODE,
                &[flag("private-key-file-path", "Private key").short('f'),]
            ],
            connect
        ),
    ],
};

fn the_job(given: &Given) -> anyhow::Result<JobArg> {
    Ok(JobArg::named(given.required("name")?))
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    az.here().await?;
    let args = job::create::CreateArgs {
        file: given.required("file")?.into(),
        name: given.owned("name"),
        set: given.words("set"),
        stream: given.switch("stream"),
        web: given.switch("web"),
        save_as: given.text("save-as").map(Into::into),
        skip_validation: given.switch("skip-validation"),
    };
    job::create::create(&az.ctx, args).await?;
    Ok(Value::Null)
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    az.here().await?;
    let args = job::show::ShowArgs {
        job: the_job(given)?,
        web: given.switch("web"),
    };
    job::show::show(&az.ctx, args).await?;
    Ok(Value::Null)
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    az.here().await?;
    let args = job::list::ListArgs {
        parent_job_name: given.owned("parent-job-name"),
        max_results: given.number("max-results")?.unwrap_or(50),
        all_results: given.switch("all-results"),
        include_archived: given.switch("include-archived"),
        archived_only: given.switch("archived-only"),
    };
    job::list::list(&az.ctx, args).await?;
    Ok(Value::Null)
}

async fn stream(az: &Az, given: &Given) -> anyhow::Result<Value> {
    az.here().await?;
    let job = the_job(given)?;
    job::stream::stream(&az.ctx, job::stream::StreamArgs { job }).await?;
    Ok(Value::Null)
}

async fn download(az: &Az, given: &Given) -> anyhow::Result<Value> {
    az.here().await?;
    let args = job::download::DownloadArgs {
        job: the_job(given)?,
        download_path: given.text("download-path").unwrap_or(".").into(),
        output_name: given.owned("output-name"),
        all: given.switch("all"),
    };
    match job::download::download(&az.ctx, args).await {
        // There it is no error, and scripts go on.
        Err(error) if is_no_output(&error) => az.note(given, &format!("WARNING: {error:#}")),
        downloaded => downloaded?,
    }
    Ok(Value::Null)
}

/// Whether there is a job, but no output of the name.
fn is_no_output(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| {
        error.code == Code::NotFound && error.target.as_deref() == Some("--output-name")
    })
}

/// One that has ended already is no error.
async fn cancel(az: &Az, given: &Given) -> anyhow::Result<Value> {
    az.here().await?;
    let job = the_job(given)?;
    let status: RunStatus = job.get(&az.ctx).await?.status;
    if status.ended() {
        az.note(
            given,
            &format!("The job has ended already; its status is {status}."),
        );
        return Ok(Value::Null);
    }
    job::cancel::cancel(&az.ctx, job::cancel::CancelArgs { job }).await?;
    Ok(Value::Null)
}

async fn archive(az: &Az, given: &Given, archived: bool) -> anyhow::Result<Value> {
    az.here().await?;
    job::archive::set(&az.ctx, &the_job(given)?, archived).await?;
    Ok(Value::Null)
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    az.here().await?;
    let job = the_job(given)?;
    let updated = job::update::change(&az.ctx, &job, &given.edits()?, given.values()).await?;
    if given.switch("web") {
        az.note(given, &updated.web_view());
    }
    az.ctx.ui.show(&updated)?;
    Ok(Value::Null)
}

async fn validate(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let args = job::validate::ValidateArgs {
        file: given.required("file")?.into(),
        set: given.words("set"),
    };
    job::validate::validate(&az.ctx, &args)?;
    Ok(Value::Null)
}

async fn services(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let get = GetRun {
        workspace: workspace.name.clone(),
        run: given.required("name")?.to_owned(),
    };
    let entity = Entity::new(&az.call(&get).await?, &workspace);
    Ok(entity
        .fields()
        .get("services")
        .cloned()
        .unwrap_or_else(|| json!({})))
}

async fn connect(_az: &Az, _given: &Given) -> anyhow::Result<Value> {
    Err(
        Error::unsupported("There is no other machine to connect to: jobs run on the worker's")
            .hint("Look at what the job writes: az ml job stream")
            .into(),
    )
}
