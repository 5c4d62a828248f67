//! Programs that run beside a job's command and end with it: notebooks, TensorBoard, an editor.

use std::path::Path;

use super::{
    shell::word,
    task::{HERE, free_port},
};
use api::{
    Result,
    jobs::{Described, JobService},
};

/// What is started beside a command.
#[derive(Debug, Default)]
pub struct Beside {
    /// What bash does before the command.
    pub line: String,
    /// The name of each, and where it answers.
    pub endpoints: Vec<(String, String)>,
    pub notes: Vec<String>,
}

/// The services of a job whose programs are found in the folders of `path`.
pub fn beside(described: &Described, path: &str) -> Result<Beside> {
    let mut beside = Beside::default();
    for (name, service) in &described.services {
        let kind = &service.kind;
        let Some(program) = program_of(kind) else {
            beside.notes.push(format!(
                "The service {name} ({kind}) is not started: the job runs on this machine"
            ));
            continue;
        };
        if described.distribution.is_some() {
            beside.notes.push(format!(
                "The service {name} ({kind}) is not started beside several processes"
            ));
            continue;
        }
        let mut folders = path.split(':').filter(|folder| !folder.is_empty());
        let Some(folder) = folders.find(|folder| Path::new(folder).join(program).is_file()) else {
            beside.notes.push(format!(
                "The service {name} ({kind}) is not started: there is no `{program}` on the PATH"
            ));
            continue;
        };
        let port = match service.port {
            Some(port) => port,
            None => free_port()?,
        };
        let (arguments, endpoint) = started(service, port);
        let program = word("", &format!("{folder}/{program}"));
        let log = word("", &format!("logs/service-{name}.log"));
        let start = [
            program.as_str(),
            " ",
            &arguments,
            " >",
            &log,
            " 2>&1 </dev/null & ",
        ];
        beside.line.push_str(&start.concat());
        beside.endpoints.push((name.clone(), endpoint));
    }
    Ok(beside)
}

fn program_of(kind: &str) -> Option<&'static str> {
    match kind {
        "jupyter_lab" => Some("jupyter-lab"),
        "tensor_board" => Some("tensorboard"),
        "vs_code" => Some("code-server"),
        _ => None,
    }
}

/// The arguments of a service and where it answers. Who may see the job may use it: what lets one in is
/// in the address.
fn started(service: &JobService, port: u16) -> (String, String) {
    let base = format!("http://{HERE}:{port}");
    match service.kind.as_str() {
        "jupyter_lab" => {
            let token = uuid::Uuid::new_v4().simple();
            let arguments = format!(
                "--no-browser --allow-root --ip={HERE} --port={port} --IdentityProvider.token={token}"
            );
            (arguments, format!("{base}/lab?token={token}"))
        }
        "vs_code" => (format!("--bind-addr {HERE}:{port} --auth none ."), base),
        _ => {
            let folder = service.log_dir.as_deref().unwrap_or("logs");
            let folder = word("", folder);
            (
                format!("--logdir {folder} --host {HERE} --port {port}"),
                base,
            )
        }
    }
}
