//! Ctrl-C: what there is by then is said, and the exit code is 130.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::support::{Aml, Output};

/// A server that hears requests and answers none.
struct Silent(TcpListener);

impl Silent {
    /// With the profile `team` on the machine for it.
    fn known_to(aml: &Aml) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = format!("profile = \"team\"\n[profiles.team]\nurl = \"{url}\"\n");
        std::fs::write(aml.root().join("config.toml"), config).unwrap();
        Self(listener)
    }

    /// Waits until it has heard a request for this operation, and answers its connection.
    fn heard(&self, operation: &str) -> TcpStream {
        let (mut stream, _) = self.0.accept().unwrap();
        let mut heard = String::new();
        while !heard.contains(operation) {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece).unwrap();
            assert_ne!(length, 0, "{heard}");
            heard.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        stream
    }
}

/// Stands before a server, and keeps back what it answers to one operation.
struct Gate(Receiver<()>);

impl Gate {
    /// With the profile `gate` on the machine for it.
    fn before(aml: &Aml, operation: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (_, address) = aml.url().unwrap().split_once("//").unwrap();
        let address = address.trim_end_matches('/').to_owned();
        let config = format!("[profiles.gate]\nurl = \"{url}\"\n");
        std::fs::write(aml.root().join("config.toml"), config).unwrap();
        let (held, hears) = channel();
        thread::spawn(move || {
            while let Ok((caller, _)) = listener.accept() {
                let server = TcpStream::connect(&address).unwrap();
                Self::join(caller, server, operation, held.clone());
            }
        });
        Self(hears)
    }

    fn join(caller: TcpStream, server: TcpStream, operation: &'static str, held: Sender<()>) {
        let closed = Arc::new(AtomicBool::new(false));
        let gate = Arc::clone(&closed);
        let (mut from, mut to) = (caller.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let mut piece = vec![0; 1 << 16];
            while let Ok(length @ 1..) = from.read(&mut piece) {
                let asked = format!("POST /api/v1/{operation} ");
                if String::from_utf8_lossy(&piece[..length]).contains(&asked) {
                    closed.store(true, Ordering::SeqCst);
                }
                if to.write_all(&piece[..length]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
        let (mut from, mut to) = (server, caller);
        thread::spawn(move || {
            let mut piece = vec![0; 1 << 16];
            while let Ok(length @ 1..) = from.read(&mut piece) {
                if gate.load(Ordering::SeqCst) {
                    let _ = held.send(());
                    // The caller waits on, until it goes itself.
                    let _ = to.read(&mut piece);
                    break;
                }
                if to.write_all(&piece[..length]).is_err() {
                    break;
                }
            }
        });
    }

    /// Waits until the server has answered what the answer is kept back of.
    fn holds(&self) {
        self.0.recv_timeout(Duration::from_mins(1)).unwrap();
    }
}

fn interrupted(aml: &Aml, server: &Silent, name: &str, operation: &str) -> Output {
    let line = format!("run submit -w w {name} -e e --stream -- true");
    let submit = aml.start(line.as_str());
    let _open = server.heard(operation);
    submit.signal(Signal::SIGINT);
    submit.wait(30)
}

#[test]
fn whether_a_run_was_submitted_is_said() {
    let aml = Aml::local();
    let server = Silent::known_to(&aml);
    // Looks whether the name is free first.
    let before = interrupted(&aml, &server, "-n r", "runs.get");
    assert_eq!(before.status, 130, "{before:?}");
    assert!(
        before
            .stderr
            .ends_with("\nInterrupted: nothing was submitted.\n"),
        "{before:?}"
    );
    let meanwhile = interrupted(&aml, &server, "", "runs.submit");
    assert_eq!(meanwhile.status, 130, "{meanwhile:?}");
    let said = meanwhile.stderr.split_once("Interrupted: whether the run ");
    let (name, rest) = said
        .and_then(|(_, said)| said.split_once(' '))
        .expect("what it says");
    assert_eq!(
        rest,
        format!("was submitted is not known.\nHint: See: aml run show {name} -w w\n")
    );
}

#[test]
fn a_job_of_which_the_workspace_has_answered_nothing_may_be_there() {
    let aml = Aml::remote();
    aml.ok("workspace create -n w");
    aml.write(
        "job.yml",
        "command: \"true\"\nenvironment: {image: python}\n",
    );
    let gate = Gate::before(&aml, "jobs.create");
    let create = aml.start("--profile gate job create -f job.yml -n j --stream");
    gate.holds();
    create.signal(Signal::SIGINT);
    let said = create.wait(30);
    assert_eq!((said.status, said.stdout.as_str()), (130, ""), "{said:?}");
    assert_eq!(
        said.stderr,
        "\nInterrupted: whether the run j was submitted is not known.\n\
         Hint: See: aml run show j --profile gate\n"
    );
    let config = format!("[profiles.team]\nurl = \"{}\"\n", aml.url().unwrap());
    std::fs::write(aml.root().join("config.toml"), config).unwrap();
    assert_eq!(aml.json("run show j --query name"), "j");
}

#[test]
fn what_was_submitted_and_is_not_followed_yet_goes_on() {
    let aml = Aml::remote();
    aml.ok("workspace create -n w");
    aml.write(
        "job.yml",
        "command: \"true\"\nenvironment: {image: python}\n",
    );
    let gate = Gate::before(&aml, "runs.get");
    // Without a name nobody looks whether it is free.
    for line in [
        "run submit -e e --stream -- true",
        "job create -f job.yml --stream",
    ] {
        let submit = aml.start(format!("--profile gate {line}"));
        gate.holds();
        submit.signal(Signal::SIGINT);
        let said = submit.wait(30);
        assert_eq!(said.status, 130, "{said:?}");
        let goes_on = said.stderr.split_once("\nThe run ");
        let (name, rest) = goes_on
            .and_then(|(_, said)| said.split_once(' '))
            .unwrap_or_else(|| panic!("{said:?}"));
        assert_eq!(
            rest,
            format!(
                "goes on.\n\
                 Hint: Follow it again: aml run logs {name} --follow --profile gate\n\
                 Hint: Stop it: aml run cancel {name} --profile gate\n"
            )
        );
    }
}

#[test]
fn what_comes_behind_an_upload_is_interrupted_too() {
    let aml = Aml::remote();
    aml.ok("workspace create -n w");
    aml.write("weights.txt", "1");
    let gate = Gate::before(&aml, "models.register");
    let register = aml.start("--profile gate model register -n m --path weights.txt");
    gate.holds();
    register.signal(Signal::SIGINT);
    let said = register.wait(30);
    assert_eq!(said.status, 130, "{said:?}");
}
