//! Ctrl-C: what there is by then is said, and the exit code is 130.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
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
