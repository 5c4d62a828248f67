//! What is started for a run: its command with what it was bound to, once or as several processes
//! that find each other.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    Settings,
    ports::Bound,
    services::{self, Beside},
    variables,
};
use api::{
    Error, Result,
    jobs::{Described, Distribution, Framework},
    work::Assignment,
};
use executor::{limits::Limits, supervisor::Task};

pub(super) type Variables = BTreeMap<String, String>;

/// All processes of a job are here.
pub(super) const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

const MPIRUN: &str = "mpirun";
const NO_MPIRUN: &str =
    "There is no mpirun: the processes know their ranks but exchange no messages";

/// What is started for a run.
pub struct Prepared {
    pub task: Task,
    /// What could not be done as it was asked for.
    pub notes: Vec<String>,
    /// Programs beside the command, and where they answer.
    pub services: Vec<(String, String)>,
}

/// Where programs are that a job may need beside its command.
pub enum Programs {
    /// In the folders of the `PATH`.
    OfMachine,
    OfImage(Variables),
}

impl Programs {
    /// What is to be looked for in an image.
    pub fn wanted(described: &Described) -> Vec<&'static str> {
        let framework = described.distribution.as_ref().map(|d| d.framework);
        let runner = (framework == Some(Framework::Mpi)).then_some(MPIRUN);
        services::programs(described).chain(runner).collect()
    }

    fn find(&self, program: &str, path: &str) -> Option<String> {
        match self {
            Self::OfMachine => {
                let mut folders = path.split(':').filter(|folder| !folder.is_empty());
                let folder = folders.find(|folder| Path::new(folder).join(program).is_file());
                folder.map(|folder| format!("{folder}/{program}"))
            }
            Self::OfImage(found) => found.get(program).cloned(),
        }
    }
}

/// What to start in `directory`. `machine` has what the machine and the environment give.
pub fn of_run(
    settings: &Settings,
    assignment: &Assignment,
    bound: &Bound,
    (machine, programs): (Variables, &Programs),
    directory: PathBuf,
) -> Result<Prepared> {
    let job = &assignment.job;
    let mut notes = bound.notes.clone();
    let mut variables = variables::of_run(settings, assignment, machine);
    let mut command = job.command.clone();
    let mut launch = Launch::default();
    let mut beside = Beside::default();
    if let Some(described) = &job.described {
        let run = &assignment.run;
        for value in variables.values_mut().filter(|value| value.contains("${{")) {
            *value = bound.fill(value, run)?;
        }
        variables.extend(bound.variables());
        let line = bound.fill_line(&command.concat(), run)?;
        let path = variables.get("PATH").map_or("", String::as_str);
        let find = |program: &str| programs.find(program, path);
        launch = match &described.distribution {
            Some(distribution) => Launch::of(distribution, find(MPIRUN))?,
            None => Launch::default(),
        };
        beside = services::beside(described, &settings.tools, &find)?;
        variables.append(&mut beside.variables);
        notes.append(&mut beside.notes);
        let line = format!("{}{}{line}", beside.line, launch.before);
        command = launch.runner.drain(..).collect();
        command.extend(["bash", "-c", &line].map(str::to_owned));
    }
    notes.append(&mut launch.notes);
    let limits = limits(assignment);
    if limits.is_some_and(|limits| !limits.holds_memory()) {
        notes.push(
            "The memory of its compute is not enforced: this machine lets nobody limit it"
                .to_owned(),
        );
    }
    let task = Task {
        command,
        directory,
        variables,
        timeout_seconds: job.timeout_seconds,
        processes: launch.processes,
        helpers: launch.helpers,
        holds: bound.holds.iter().map(|hold| hold.file.clone()).collect(),
        limits,
    };
    Ok(Prepared {
        task,
        notes,
        services: beside.endpoints,
    })
}

/// What the nodes of its compute have together; all are on this machine.
fn limits(assignment: &Assignment) -> Option<Limits> {
    let size = assignment.size.as_ref()?;
    let described = assignment.job.described.as_ref();
    let nodes = described.and_then(|described| described.distribution.as_ref());
    let nodes = nodes.map_or(1, |distribution| distribution.nodes);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes have some gigabytes"
    )]
    let memory = (size.memory_gb * f64::from(1u32 << 30)) as u64;
    Some(Limits {
        cores: size.cores.saturating_mul(nodes),
        memory: memory.saturating_mul(nodes.into()),
    })
}

/// How a command is started.
#[derive(Debug, Default)]
struct Launch {
    /// The program that starts the processes, if it is not us.
    runner: Vec<String>,
    /// What bash does first.
    before: String,
    /// What each process has of its own; one process when empty.
    processes: Vec<Variables>,
    /// Processes that are ended when all others have.
    helpers: Vec<Variables>,
    notes: Vec<String>,
}

impl Launch {
    fn of(distribution: &Distribution, mpirun: Option<String>) -> Result<Self> {
        let Distribution {
            nodes, processes, ..
        } = *distribution;
        match distribution.framework {
            Framework::Pytorch => Ok(Self {
                processes: pytorch(nodes, processes, free_port()?),
                ..Self::default()
            }),
            Framework::Mpi => mpi(nodes, processes, mpirun),
            Framework::Tensorflow => tensorflow(processes, distribution.parameter_servers),
            Framework::Ray => Ok(Self {
                before: "ray start --head --disable-usage-stats && export RAY_ADDRESS=auto && "
                    .to_owned(),
                ..Self::default()
            }),
        }
    }
}

fn own<const N: usize>(pairs: [(&str, String); N]) -> Variables {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Node, number on the node, number in all.
fn ranks(nodes: u32, each: u32) -> impl Iterator<Item = (u32, u32, u32)> {
    (0..nodes).flat_map(move |node| (0..each).map(move |local| (node, local, node * each + local)))
}

fn pytorch(nodes: u32, each: u32, port: u16) -> Vec<Variables> {
    let of = |(node, local, rank): (u32, u32, u32)| {
        own([
            ("MASTER_ADDR", HERE.to_string()),
            ("MASTER_PORT", port.to_string()),
            ("WORLD_SIZE", (nodes * each).to_string()),
            ("LOCAL_WORLD_SIZE", each.to_string()),
            ("NODE_RANK", node.to_string()),
            ("RANK", rank.to_string()),
            ("LOCAL_RANK", local.to_string()),
        ])
    };
    ranks(nodes, each).map(of).collect()
}

fn mpi(nodes: u32, each: u32, mpirun: Option<String>) -> Result<Launch> {
    let world = nodes * each;
    if let Some(program) = mpirun {
        let count = world.to_string();
        let words = [
            program.as_str(),
            "--allow-run-as-root",
            "--oversubscribe",
            "-np",
            &count,
        ];
        return Ok(Launch {
            runner: words.map(str::to_owned).to_vec(),
            ..Launch::default()
        });
    }
    let port = free_port()?;
    let of = |(node, local, rank): (u32, u32, u32)| {
        own([
            ("OMPI_COMM_WORLD_SIZE", world.to_string()),
            ("OMPI_COMM_WORLD_RANK", rank.to_string()),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", each.to_string()),
            ("OMPI_COMM_WORLD_LOCAL_RANK", local.to_string()),
            ("OMPI_COMM_WORLD_NODE_RANK", node.to_string()),
            ("AZ_BATCH_MASTER_NODE", format!("{HERE}:{port}")),
        ])
    };
    Ok(Launch {
        processes: ranks(nodes, each).map(of).collect(),
        notes: vec![NO_MPIRUN.to_owned()],
        ..Launch::default()
    })
}

fn tensorflow(workers: u32, servers: u32) -> Result<Launch> {
    let addresses = |count: u32| -> Result<Vec<String>> {
        (0..count)
            .map(|_| Ok(format!("{HERE}:{}", free_port()?)))
            .collect()
    };
    let mut cluster = json!({"worker": addresses(workers)?});
    if servers > 0 {
        cluster["ps"] = json!(addresses(servers)?);
    }
    let config = |kind: &str, index: u32| {
        let task = json!({"type": kind, "index": index});
        let config = json!({"cluster": cluster, "task": task, "environment": "cloud"});
        own([("TF_CONFIG", config.to_string())])
    };
    Ok(Launch {
        processes: (0..workers).map(|index| config("worker", index)).collect(),
        helpers: (0..servers).map(|index| config("ps", index)).collect(),
        ..Launch::default()
    })
}

/// A port that nobody listens on now.
pub(super) fn free_port() -> Result<u16> {
    TcpListener::bind((HERE, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|e| Error::unavailable(format!("There is no free port: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(framework: Framework, nodes: u32, processes: u32, servers: u32) -> Launch {
        let distribution = Distribution {
            framework,
            nodes,
            processes,
            parameter_servers: servers,
        };
        Launch::of(&distribution, None).unwrap()
    }

    fn values(processes: &[Variables], names: &[&str]) -> Vec<String> {
        let of = |variables: &Variables| {
            let all: Vec<&str> = names.iter().map(|name| variables[*name].as_str()).collect();
            all.join(" ")
        };
        processes.iter().map(of).collect()
    }

    #[test]
    fn each_process_knows_its_place() {
        let found = launch(Framework::Pytorch, 2, 2, 0).processes;
        let names = ["NODE_RANK", "LOCAL_RANK", "RANK", "WORLD_SIZE"];
        let expected = ["0 0 0 4", "0 1 1 4", "1 0 2 4", "1 1 3 4"];
        assert_eq!(values(&found, &names), expected);
        let ports = values(&found, &["MASTER_PORT"]);
        assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
        let found = launch(Framework::Mpi, 1, 2, 0);
        let names = ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"];
        assert_eq!(values(&found.processes, &names), ["0 2", "1 2"]);
        assert_eq!(found.notes.len(), 1, "that they exchange no messages");
    }

    #[test]
    fn workers_and_parameter_servers_share_a_cluster() {
        let found = launch(Framework::Tensorflow, 1, 2, 1);
        let read = |variables: &Variables| -> serde_json::Value {
            serde_json::from_str(&variables["TF_CONFIG"]).unwrap()
        };
        let (first, second) = (read(&found.processes[0]), read(&found.processes[1]));
        assert_eq!(first["cluster"], second["cluster"]);
        assert_eq!(first["cluster"]["worker"].as_array().unwrap().len(), 2);
        assert_eq!(second["task"], json!({"type": "worker", "index": 1}));
        assert_eq!(read(&found.helpers[0])["task"]["type"], "ps");
    }
}
