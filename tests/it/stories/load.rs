//! Many at once, and what fails under them: what was acknowledged is there, whole, and nobody is held
//! up or refused for what others do.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs, io,
    sync::{Barrier, mpsc},
    thread,
};

use serde_json::{Value, json};

use super::crashes::serve_again;
use crate::support::{Aml, Process, components, http::Connection};

const API: &str = "/api/2.0/mlflow";
/// Points of each of the two metrics in a batch.
const POINTS: usize = 40;

/// A client that logs to a run of its own.
struct Client {
    connection: Connection,
    run: String,
}

impl Client {
    fn new(url: &str) -> io::Result<Self> {
        let mut connection = Connection::open(url)?;
        let create = json!({"experiment_id": "0"}).to_string();
        let (status, body) = connection.post(&format!("{API}/runs/create"), &create)?;
        assert_eq!(status, 200, "{body}");
        let run: Value = serde_json::from_str(&body).expect("JSON");
        let run = run["run"]["info"]["run_id"].as_str().expect("an id");
        Ok(Self {
            run: run.to_owned(),
            connection,
        })
    }

    /// Logs points of two metrics and a param; the status and body of the answer.
    fn log(&mut self, batch: usize) -> io::Result<(u16, String)> {
        let mut metrics = String::new();
        for step in batch * POINTS..(batch + 1) * POINTS {
            for key in ["a", "b"] {
                let comma = if metrics.is_empty() { "" } else { "," };
                let _ = write!(
                    metrics,
                    r#"{comma}{{"key":"{key}","value":{step},"timestamp":1,"step":{step}}}"#
                );
            }
        }
        let body = format!(
            r#"{{"run_id":"{}","metrics":[{metrics}],"params":[{{"key":"p{batch}","value":"v"}}]}}"#,
            self.run
        );
        self.connection
            .post(&format!("{API}/runs/log-batch"), &body)
    }
}

fn get(url: &str, path: &str) -> Value {
    let mut connection = Connection::open(url).expect("connects");
    let (status, body) = connection.get(&format!("{API}/{path}")).expect("answers");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

/// The batches that are stored of a run; each must be there as a whole.
fn whole_batches(url: &str, run: &str) -> BTreeSet<usize> {
    let steps = |key: &str| -> Vec<u64> {
        let history = get(
            url,
            &format!("metrics/get-history?run_id={run}&metric_key={key}"),
        );
        let points = history["metrics"].as_array().cloned().unwrap_or_default();
        points
            .iter()
            .map(|point| point["step"].as_u64().expect("a step"))
            .collect()
    };
    let (a, b) = (steps("a"), steps("b"));
    assert_eq!(a, b, "both metrics of a batch are there or none");
    let run = get(url, &format!("runs/get?run_id={run}"));
    let params = run["run"]["data"]["params"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let number = |param: &Value| param["key"].as_str()?.strip_prefix('p')?.parse().ok();
    let batches: BTreeSet<usize> = params.iter().filter_map(number).collect();
    let expected: Vec<u64> = batches
        .iter()
        .flat_map(|batch| batch * POINTS..(batch + 1) * POINTS)
        .map(|step| step as u64)
        .collect();
    assert_eq!(a, expected, "a batch is whole");
    batches
}

#[test]
fn two_hundred_clients_at_once_lose_nothing() {
    const CLIENTS: usize = 200;
    const BATCHES: usize = 5;
    let aml = Aml::remote();
    let url = aml.url().expect("a server");
    let together = Barrier::new(CLIENTS);
    let client = || {
        together.wait();
        let mut client = Client::new(url).expect("connects");
        for batch in 0..BATCHES {
            let (status, body) = client.log(batch).expect("answers");
            assert_eq!(status, 200, "{body}");
        }
        client.run
    };
    let runs: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("ends"))
            .collect()
    });
    for run in &runs {
        assert_eq!(whole_batches(url, run), (0..BATCHES).collect(), "{run}");
    }
}

#[test]
fn many_processes_log_to_one_state_directory() {
    const PROCESSES: usize = 64;
    let aml = Aml::local();
    aml.ok("workspace create -n churn");
    aml.ok("run submit -n r -e iris --stream -- true");
    let log = |n: usize| format!("run log r -m loss={n} -s {n} -m m{n}=1 -p p{n}=v -t t{n}=v");
    let started: Vec<Process> = (0..PROCESSES).map(|n| aml.start(log(n))).collect();
    for process in started {
        let output = process.wait(120);
        assert_eq!(output.status, 0, "{output:?}");
    }
    let run = aml.json("run show r");
    assert_eq!(run["metrics"]["loss"]["count"], PROCESSES, "{run}");
    assert_eq!(run["metrics"]["loss"]["last"], 63.0, "{run}");
    for n in 0..PROCESSES {
        assert_eq!(run["metrics"][format!("m{n}")]["last"], 1.0, "{n}");
        assert_eq!(run["params"][format!("p{n}")], "v", "{n}");
        assert_eq!(run["tags"][format!("t{n}")], "v", "{n}");
    }
}

/// Logs batch after batch until the server is gone; answers what was acknowledged.
fn log_until_killed(url: &str, told: &mpsc::Sender<()>) -> Option<(String, usize)> {
    let mut client = Client::new(url).ok()?;
    let mut acknowledged = 0;
    while let Ok((status, body)) = client.log(acknowledged) {
        assert_eq!(status, 200, "{body}");
        acknowledged += 1;
        let _ = told.send(());
    }
    Some((client.run, acknowledged))
}

#[test]
fn what_was_acknowledged_survives_a_kill_amid_batches() {
    const CLIENTS: usize = 6;
    let aml = Aml::remote();
    let url = aml.url().expect("a server");
    let mut server: Option<Process> = None;
    for moment in [1, 7, 23, 64, 131] {
        let (told, heard) = mpsc::channel();
        let logged: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let told = told.clone();
                    scope.spawn(move || log_until_killed(url, &told))
                })
                .collect();
            for _ in 0..moment {
                heard.recv().expect("clients log");
            }
            let running = server.as_ref().or(aml.server());
            running.expect("a server").kill();
            clients
                .into_iter()
                .filter_map(|client| client.join().expect("ends"))
                .collect()
        });
        drop(server.take());
        server = Some(serve_again(&aml));
        assert!(logged.iter().map(|(_, count)| count).sum::<usize>() >= moment);
        for (run, acknowledged) in &logged {
            let stored = whole_batches(url, run);
            // The one that was under way may be there as well.
            let last = *acknowledged + usize::from(stored.contains(acknowledged));
            assert_eq!(stored, (0..last).collect(), "{run}");
        }
    }
}

#[test]
fn stalled_clients_hold_nobody_up() {
    const STALLED: usize = 100;
    let aml = Aml::remote();
    let url = aml.url().expect("a server");
    let mut other = Client::new(url).expect("connects");
    let head = format!(
        "POST {API}/runs/log-batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    );
    let stall = |n: usize| {
        let mut connection = Connection::open(url).expect("connects");
        let half = match n % 3 {
            0 => "",
            1 => &head[..30],
            _ => &format!("{head}Content-Length: 1000\r\n\r\n{{\"run_id\":"),
        };
        connection.write(half.as_bytes()).expect("sends");
        connection
    };
    let stalled: Vec<Connection> = (0..STALLED).map(stall).collect();
    // One that asks for a lot and never reads it.
    for batch in 0..20 {
        assert_eq!(other.log(batch).expect("answers").0, 200);
    }
    let history = format!(
        "GET {API}/metrics/get-history?run_id={}&metric_key=a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        other.run
    );
    let mut deaf = Connection::open(url).expect("connects");
    deaf.write(history.repeat(200).as_bytes()).expect("sends");
    assert_eq!(other.log(20).expect("answers").0, 200);
    assert_eq!(whole_batches(url, &other.run).len(), 21);
    drop((stalled, deaf));
}

/// A server whose state directory is a small disk of its own, which only it sees.
fn serve_on_a_small_disk(aml: &Aml) -> Option<(Process, String)> {
    let disk = aml.root().join("disk");
    fs::create_dir_all(&disk).expect("makes the folder");
    let script = "mount -t tmpfs -o size=6m none \"$AML_HOME\" && exec \"$@\"";
    let serve = aml.with("AML_HOME", &disk).command("serve --port 0");
    let mut command = aml.with("AML_HOME", &disk).program("unshare");
    command.args([
        "--mount",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        script,
        "sh",
    ]);
    command.arg(serve.get_program()).args(serve.get_args());
    let allowed = std::process::Command::new("unshare")
        .args([
            "--mount",
            "--user",
            "--map-root-user",
            "mount",
            "-t",
            "tmpfs",
            "none",
            "/mnt",
        ])
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        components::skipped("this machine lets nobody mount a disk of their own");
        return None;
    }
    let server = Process::start(command, "serve on a small disk".to_owned(), aml.root());
    let line = server.stderr_line("Listening on ", 20);
    let url = line.rsplit(' ').next().expect("a URL").to_owned();
    Some((server, url))
}

#[test]
fn a_full_disk_refuses_writes_answers_reads_and_recovers() {
    let aml = Aml::local();
    let Some((server, url)) = serve_on_a_small_disk(&aml) else {
        return;
    };
    aml.ok(format!("login {url} --profile small"));
    let mut client = Client::new(&url).expect("connects");
    // The server's disk, seen from here.
    let disk = aml.root().join("disk");
    let filler = format!("/proc/{}/root{}/filler", server.pid(), disk.display());
    fs::write(&filler, vec![7; 2 << 20]).expect("fills a part of the disk");
    let mut acknowledged = 0;
    let refusal = loop {
        let (status, body) = client.log(acknowledged).expect("answers");
        if status != 200 {
            break (status, body);
        }
        acknowledged += 1;
        assert!(acknowledged < 20_000, "the disk does not fill up");
    };
    assert_eq!(refusal.0, 503, "{refusal:?}");
    assert!(
        refusal.1.contains("is full") && refusal.1.contains("Free some space"),
        "{refusal:?}"
    );
    // Who asks from elsewhere is told whose disk it is.
    let error = aml.fails(6, "--profile small workspace create -n other");
    assert!(error.contains("ask who runs it to make room"), "{error}");
    // Reads go on, and nothing is half there.
    assert_eq!(
        whole_batches(&url, &client.run),
        (0..acknowledged).collect()
    );
    // Room again: the same batch is taken, and nothing before it was lost.
    fs::remove_file(&filler).expect("frees a part of the disk");
    let (status, body) = client.log(acknowledged).expect("answers");
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        whole_batches(&url, &client.run),
        (0..=acknowledged).collect()
    );
}
