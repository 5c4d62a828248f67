//! Endpoints whose processes end at the wrong time, or do not end: killed, hanging, deleted at work.

use std::time::{Duration, Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::endpoints::{BAD, deploy, hosts, score, state, with_model};
use crate::support::{
    Aml, each_mode, eventually,
    http::{Connection, post},
    kill_others,
};

#[test]
fn a_script_that_ends_its_process_in_init_fails_at_once() {
    let aml = &Aml::local();
    aml.ok("workspace create -n Churn");
    aml.write("model/weight.txt", "42");
    let script = "import os\ndef init(): os._exit(5)\ndef run(raw): return raw\n";
    aml.write("score.py", script);
    aml.ok("model register -n echo --path model");
    let error = aml.fails(12, "deploy echo:1 --name echo-ep --script score.py");
    let said = "failed: The scoring process ended with exit code 3: \
                It ended in the scoring script, before or in init()\n";
    assert!(error.contains(said), "{error}");
    assert!(error.contains("exited with code 5"), "{error}");
}

#[test]
fn a_killed_host_takes_its_process_along_and_can_be_started_again() {
    each_mode(|aml| {
        with_model(aml);
        deploy(aml);
        for (pid, line) in hosts(aml) {
            if line.contains("endpoint-host") {
                kill_others(&[pid]);
            }
        }
        if aml.is_remote() {
            // A server sees to it by itself.
            eventually("it answers again", 60, || {
                (state(aml) == "healthy").then_some(())
            });
            assert_eq!(score(aml)["weight"], 42);
            return;
        }
        eventually("the scoring process is gone", 20, || {
            hosts(aml).is_empty().then_some(())
        });
        let endpoint = aml.json("endpoint show echo-ep");
        assert_eq!(endpoint["state"], "failed");
        let message = endpoint["message"].as_str().expect("a message");
        assert!(message.contains("Its process ended"), "{message}");
        assert!(message.lines().count() <= 7, "{message}");
        let shown = aml.run("endpoint show echo-ep");
        let error = aml.fails(6, ["endpoint", "score", "echo-ep", "-d", "{}"]);
        for said in [shown.stderr, error] {
            let again = said.contains("Hint: Start it again: aml endpoint start echo-ep\n");
            let once = said.matches("endpoint start").count() == 1;
            assert!(again && once, "{said}");
        }
        aml.ok("endpoint start echo-ep");
        assert_eq!(score(aml)["weight"], 42);
    });
}

#[test]
fn a_host_that_hangs_gives_way_to_another() {
    let aml = &Aml::local();
    with_model(aml);
    deploy(aml);
    for (pid, line) in hosts(aml) {
        if line.contains("endpoint-host") {
            kill(pid, Signal::SIGSTOP).expect("stops the host");
        }
    }
    let changed = aml.json("deploy echo:1 --name echo-ep --script score.py");
    assert_eq!(changed["state"], "healthy");
    assert_eq!(score(aml)["weight"], 42);
}

#[test]
fn a_killed_scoring_process_comes_back_by_itself() {
    let aml = &Aml::local();
    with_model(aml);
    deploy(aml);
    for pid in scoring(aml) {
        let _ = kill(pid, Signal::SIGKILL);
    }
    eventually("it answers again", 30, || answers(aml).then_some(()));
    eventually("the state says so", 10, || {
        (state(aml) == "healthy").then_some(())
    });
}

fn answers(aml: &Aml) -> bool {
    let words = ["endpoint", "score", "echo-ep", "-d", r#"{"data": 1}"#];
    aml.run(words).status == 0
}

/// The scoring processes, without those that watch them.
fn scoring(aml: &Aml) -> Vec<Pid> {
    let all = hosts(aml).into_iter();
    let scores = |line: &str| line.contains("serve.py") && !line.contains("endpoint-watch");
    all.filter_map(|(pid, line)| scores(&line).then_some(pid))
        .collect()
}

#[test]
fn a_scoring_process_ends_with_who_watched_it() {
    let aml = &Aml::local();
    with_model(aml);
    deploy(aml);
    let before = scoring(aml);
    assert!(!before.is_empty());
    for (pid, line) in hosts(aml) {
        if line.contains("endpoint-watch") {
            kill_others(&[pid]);
        }
    }
    eventually("those are gone", 20, || {
        let now = scoring(aml);
        before.iter().all(|pid| !now.contains(pid)).then_some(())
    });
    assert_eq!(score(aml)["weight"], 42);
}

#[test]
fn files_that_were_removed_underneath_are_laid_out_again() {
    let aml = &Aml::local();
    with_model(aml);
    deploy(aml);
    let laid_out = || -> Vec<_> {
        let endpoints = std::fs::read_dir(aml.state().join("endpoints")).expect("endpoints");
        let folders = endpoints.flatten().map(|entry| entry.path());
        let inner = folders.filter_map(|folder| std::fs::read_dir(folder).ok());
        let inner = inner.flatten().flatten().map(|entry| entry.path());
        inner
            .map(|folder| folder.join("azureml-models"))
            .filter(|models| models.exists())
            .collect()
    };
    for models in laid_out() {
        std::fs::remove_dir_all(models).expect("removes the model");
    }
    for pid in scoring(aml) {
        let _ = kill(pid, Signal::SIGKILL);
    }
    eventually("it answers with its model again", 60, || {
        (answers(aml) && !laid_out().is_empty()).then_some(())
    });
    assert_eq!(score(aml)["weight"], 42);
}

#[test]
fn endpoints_come_back_with_the_server() {
    let aml = &Aml::local();
    with_model(aml);
    deploy(aml);
    aml.write("bad.py", BAD);
    aml.fails(12, "deploy echo:1 --name vain --script bad.py");
    for (pid, _) in hosts(aml) {
        let _ = kill(pid, Signal::SIGKILL);
    }
    eventually("all are gone", 20, || hosts(aml).is_empty().then_some(()));
    let server = aml.start("serve --port 0");
    server.stderr_line("Listening on ", 20);
    eventually("it answers again", 60, || {
        (state(aml) == "healthy").then_some(())
    });
    assert_eq!(score(aml)["weight"], 42);
    // And again when it is killed while the server is there.
    for (pid, _) in hosts(aml) {
        let _ = kill(pid, Signal::SIGKILL);
    }
    eventually("it was started again", 60, || {
        (state(aml) == "healthy" && !hosts(aml).is_empty()).then_some(())
    });
    assert_eq!(score(aml)["weight"], 42);
    aml.ok("endpoint delete echo-ep --yes");
    // What never answered is tried again when that is asked for.
    assert_eq!(aml.json("endpoint show vain --query state"), "failed");
    assert_eq!(hosts(aml), []);
    let error = aml.fails(12, "endpoint start vain");
    assert!(error.contains("RuntimeError: no weights"), "{error}");
}

#[test]
fn a_killed_instance_loses_no_request() {
    let aml = &Aml::local();
    with_model(aml);
    let endpoint = aml.json("deploy echo:1 --name echo-ep --script score.py --instances 2");
    let url = endpoint["scoring_uri"].as_str().expect("an address");
    let keys = aml.json("endpoint keys echo-ep");
    let key = keys["primary"].as_str().expect("a key");
    let mut killed = 0;
    for round in 0..60 {
        if round % 20 == 10
            && let Some(pid) = scoring(aml).first()
        {
            let _ = kill(*pid, Signal::SIGKILL);
            killed += 1;
        }
        let (status, body) = post(url, key, r#"{"data": 1}"#);
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(killed, 3);
}

/// A request that takes for ever and has begun.
fn work_for_ever(aml: &Aml) -> Connection {
    let endpoint = aml.json("endpoint show echo-ep");
    let url = endpoint["scoring_uri"].as_str().expect("an address");
    let key = aml.json("endpoint keys echo-ep --query primary");
    let key = key.as_str().expect("a key");
    let _ = std::fs::remove_file(aml.path("begun"));
    let mut request = Connection::open(url.trim_end_matches("/score")).expect("connects");
    let text = format!(
        "POST /score HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    request.write(text.as_bytes()).expect("sends");
    eventually("it is being worked on", 30, || {
        aml.path("begun").exists().then_some(())
    });
    request
}

#[test]
fn what_is_deleted_does_not_take_its_time() {
    let aml = &Aml::local();
    with_model(aml);
    let begun = aml.path("begun").display().to_string();
    let script = format!(
        "import time\ndef init(): pass\ndef run(raw):\n    open({begun:?}, 'w').close()\n    time.sleep(600)\n"
    );
    aml.write("score.py", script);
    let second = || aml.ok("deploy echo:1 --name echo-ep --deployment other --script score.py");
    deploy(aml);
    second();
    // Each scoring process has one that watches it.
    let scoring = |count: usize| {
        let watched = |(_, line): &(_, String)| line.contains("endpoint-watch");
        (hosts(aml).iter().filter(|one| watched(one)).count() == count).then_some(())
    };
    eventually("there are two", 10, || scoring(2));
    // The one that works is replaced, and what replaces it deleted.
    let _request = work_for_ever(aml);
    aml.ok("deploy echo:1 --name echo-ep --deployment default --script score.py");
    eventually("both generations are there", 10, || scoring(3));
    let asked = Instant::now();
    aml.ok("deployment delete echo-ep default --yes --force");
    eventually("only the other one is there", 30, || scoring(1));
    assert!(asked.elapsed() < Duration::from_secs(20), "{asked:?}");
    aml.ok("endpoint traffic echo-ep other=100");
    let _request = work_for_ever(aml);
    // Stopped it has its time, until it is deleted.
    let stop = aml.start("endpoint stop echo-ep");
    eventually("it is stopping", 10, || {
        (state(aml) != "healthy").then_some(())
    });
    let asked = Instant::now();
    aml.ok("endpoint delete echo-ep --yes");
    assert!(asked.elapsed() < Duration::from_secs(20), "{asked:?}");
    assert_eq!(hosts(aml), []);
    stop.wait(30);
}
