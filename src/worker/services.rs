//! Programs that run beside a job's command and end with it: notebooks, TensorBoard, an editor.

use std::path::Path;

use super::{
    shell::word,
    task::{HERE, Variables, free_port},
};
use api::{
    Result,
    jobs::{Described, JobService, SERVICE_ENDED_TAG},
};

/// The variable that Jupyter takes its token from: others can read a command line.
const TOKEN: &str = "JUPYTER_TOKEN";

/// What is started beside a command.
#[derive(Debug, Default)]
pub struct Beside {
    /// What bash does before the command.
    pub line: String,
    pub variables: Variables,
    /// The name of each, and where it answers.
    pub endpoints: Vec<(String, String)>,
    pub notes: Vec<String>,
}

/// The programs that the services of a job are.
pub fn programs(described: &Described) -> impl Iterator<Item = &'static str> {
    let services = described.services.values();
    services.filter_map(|service| program_of(&service.kind))
}

/// The services of a job whose programs are found. `tools` is where this machine has `aml`.
pub fn beside(
    described: &Described,
    tools: &Path,
    find: &dyn Fn(&str) -> Option<String>,
) -> Result<Beside> {
    let mut beside = Beside::default();
    let tools = word("", &tools.to_string_lossy());
    let token = uuid::Uuid::new_v4().simple().to_string();
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
        let Some(program) = find(program) else {
            beside.notes.push(format!(
                "The service {name} ({kind}) is not started: there is no `{program}` on the PATH of its environment"
            ));
            continue;
        };
        let port = match service.port {
            Some(port) => port,
            None => free_port()?,
        };
        let (arguments, endpoint) = started(service, port, &token);
        if kind == "jupyter_lab" {
            beside.variables.insert(TOKEN.to_owned(), token.clone());
        }
        let program = word("", &program);
        let log = word("", &format!("logs/service-{name}.log"));
        let ended = word(
            "",
            &format!("The service {name} has ended: see logs/service-{name}.log"),
        );
        let tag = word("", &format!("{SERVICE_ENDED_TAG}{name}="));
        let tell = format!("PATH=$PATH:{tools} aml run log --tag {tag}$code >>{log} 2>&1");
        let start = format!(
            "{{ {program} {arguments} >{log} 2>&1 </dev/null; code=$?; echo {ended}; {tell}; }} & "
        );
        beside.line.push_str(&start);
        beside.endpoints.push((name.clone(), endpoint));
    }
    if beside.variables.contains_key(TOKEN) {
        // The command may print what it has.
        beside.line.extend(["unset ", TOKEN, "; "]);
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
fn started(service: &JobService, port: u16, token: &str) -> (String, String) {
    let base = format!("http://{HERE}:{port}");
    match service.kind.as_str() {
        "jupyter_lab" => {
            let arguments = format!("--no-browser --allow-root --ip={HERE} --port={port}");
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
