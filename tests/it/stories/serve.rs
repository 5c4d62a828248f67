//! `aml serve`: addresses, trust, TLS, stopping, and being killed.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Mutex,
};

use expect_test::expect;
use nix::sys::signal::Signal;

use base64::{Engine, prelude::BASE64_STANDARD};

use serde_json::Value;

use crate::support::{Aml, Process, eventually};

/// Starts a server on this machine and says where it listens.
fn serve(aml: &Aml, options: &str) -> (Process, String) {
    let server = aml.start(format!("serve --port 0 {options}"));
    let line = server.stderr_line("Listening on ", 20);
    let url = line.rsplit(' ').next().expect("a URL").to_owned();
    (server, url)
}

fn port_of(url: &str) -> u16 {
    let port = url.rsplit(':').next().expect("a port");
    port.parse().expect("a number")
}

/// The first user of this machine; the token.
fn first_user(aml: &Aml) -> String {
    let token = aml.json("user create ann --query token");
    token.as_str().expect("a token").to_owned()
}

/// Sends bytes and reads the whole answer.
fn exchange(url: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port_of(url))).expect("connects");
    stream.write_all(request.as_bytes()).expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    answer
}

fn whoami(host: &str, headers: &str) -> String {
    format!(
        "POST /api/v1/users.whoami HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    )
}

#[test]
fn a_taken_port_and_a_foreign_address() {
    let aml = Aml::local();
    let (_server, url) = serve(&aml, "");
    let port = port_of(&url);
    let error = aml.fails(6, format!("serve --port {port}"));
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines[0],
        format!("Error: Port {port} on 127.0.0.1 is in use")
    );
    assert!(
        lines[1].starts_with("Hint: Choose another one: aml serve --port "),
        "{error}"
    );
    expect![[r#"
        Error: --host: `192.0.2.1` is not an address of this machine
        Hint: Listen on this machine only: --host 127.0.0.1; on every address: --host 0.0.0.0
    "#]]
    .assert_eq(&aml.fails(2, "serve --port 0 --host 192.0.2.1"));
}

#[test]
fn other_addresses_need_a_user_and_a_token() {
    let aml = Aml::local();
    for options in ["--host 0.0.0.0", "--require-token"] {
        let error = aml.fails(5, format!("serve --port 0 {options}"));
        assert!(
            error.ends_with(
                "needs tokens, and there is no user yet\n\
                 Hint: Make the first user, an admin, on this machine: aml user create NAME\n"
            ),
            "{error}"
        );
    }
    first_user(&aml);
    let (server, url) = serve(&aml, "--host 0.0.0.0");
    assert!(
        server
            .stderr()
            .contains("Warning: Tokens and data travel in the clear")
    );
    let answer = exchange(&url, &whoami("127.0.0.1", ""));
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
}

#[test]
fn callers_are_told_addresses_by_the_name_they_used() {
    let aml = Aml::local();
    aml.ok("workspace create -n churn");
    let token = first_user(&aml);
    let told = |url: &str, host: &str| {
        let body = r#"{"workspace": "churn"}"#;
        let answer = exchange(
            url,
            &format!(
                "POST /api/v1/workspaces.get HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
                 Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let workspace: Value = serde_json::from_str(body).expect("JSON");
        workspace["mlflow_tracking_uri"]
            .as_str()
            .unwrap_or_else(|| panic!("no URI: {answer}"))
            .to_owned()
    };
    let (anywhere, url) = serve(&aml, "--host 0.0.0.0");
    assert_eq!(told(&url, "10.1.2.3:81"), "http://10.1.2.3:81/ws/churn");
    let own = told(&url, "no name<");
    assert!(
        own.ends_with(&format!(":{}/ws/churn", port_of(&url))),
        "{own}"
    );
    drop(anywhere);
    let (_named, url) = serve(&aml, "--host 0.0.0.0 --url https://ml.example");
    assert_eq!(told(&url, "10.1.2.3:81"), "https://ml.example/ws/churn");
}

#[test]
fn without_users_only_programs_of_this_machine_are_the_owner() {
    let aml = Aml::remote();
    let url = aml.url().expect("a server");
    let status =
        |host: &str, headers: &str| exchange(url, &whoami(host, headers))[9..12].to_owned();
    assert_eq!(status("127.0.0.1:5000", ""), "200");
    assert_eq!(status("attacker.example", ""), "401");
    assert_eq!(
        status("127.0.0.1:5000", "Origin: http://attacker.example\r\n"),
        "401"
    );
    assert_eq!(
        status("127.0.0.1:5000", "Sec-Fetch-Site: cross-site\r\n"),
        "401"
    );
    assert_eq!(
        status("127.0.0.1:5000", "Authorization: Bearer nonsense\r\n"),
        "401"
    );
    let health = exchange(url, "GET /health HTTP/1.0\r\n\r\n");
    assert!(health.ends_with("\r\n\r\nOK"), "{health}");
}

#[test]
fn tls_with_a_certificate_of_its_own() {
    let aml = Aml::local();
    let token = first_user(&aml);
    let (server, url) = serve(&aml, "--tls-self-signed --host 0.0.0.0");
    let ca = aml.state().join("tls/ca.pem");
    assert!(
        server
            .stderr()
            .contains(&format!("--ca-file {}", ca.display()))
    );
    let port = port_of(&url);
    let url = format!("https://127.0.0.1:{port}");
    let login = |url: &str, options: &str| {
        aml.run_with_stdin(format!("login {url} {options} --profile team"), &token)
    };
    let trusting = format!("--ca-file {}", ca.display());
    expect![[r#"
        Error: Cannot reach `https://127.0.0.1:PORT`: its certificate is not signed by an authority that this machine trusts
        Hint: If the server made its own, get its `ca.pem`: aml login https://127.0.0.1:PORT --ca-file ca.pem
    "#]]
    .assert_eq(&login(&url, "").failed(6));
    expect![[r#"
        Error: Cannot reach `http://127.0.0.1:PORT`: it does not speak plain HTTP
        Hint: With TLS: aml login https://127.0.0.1:PORT
    "#]]
    .assert_eq(&login(&url.replace("https", "http"), "").failed(6));
    let elsewhere = login(&format!("https://127.0.0.2:{port}"), &trusting).failed(6);
    assert!(
        elsewhere.contains("not valid for name \"127.0.0.2\""),
        "{elsewhere}"
    );
    for name in ["127.0.0.1", "localhost"] {
        login(&format!("https://{name}:{port}"), &trusting).ok();
        aml.ok("workspace list --profile team");
    }
    drop(server);
    // The authority stays the same, so nobody has to log in again.
    let restarted = aml.start(format!(
        "serve --port {port} --tls-self-signed --host 0.0.0.0"
    ));
    restarted.stderr_line("Listening on ", 20);
    aml.ok("workspace list --profile team");
}

#[test]
fn certificates_that_cannot_be_used() {
    let aml = Aml::local();
    aml.write("empty.pem", "");
    let error = aml.fails(2, "serve --port 0 --tls-cert empty.pem --tls-key empty.pem");
    expect![[r#"
        Error: --tls-cert: `empty.pem` has no certificate in PEM format
    "#]]
    .assert_eq(&error);
    let error = aml.fails(2, "serve --port 0 --tls-cert none.pem --tls-key none.pem");
    assert!(
        error.starts_with("Error: --tls-cert: Cannot use `none.pem`: "),
        "{error}"
    );
}

#[test]
fn an_expired_certificate_and_one_of_an_authority() {
    let aml = Aml::local();
    let refusal = |change: &dyn Fn(&mut rcgen::CertificateParams)| {
        let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        change(&mut params);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        aml.write("cert.pem", certificate.pem());
        aml.write("key.pem", key.serialize_pem());
        let (_server, url) = serve(&aml, "--tls-cert cert.pem --tls-key key.pem");
        let login = aml.run_with_stdin(format!("login {url} --ca-file cert.pem"), "");
        login.failed(6)
    };
    let expired = |params: &mut rcgen::CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    };
    expect![[r#"
        Error: Cannot reach `https://127.0.0.1:PORT`: its certificate has expired
        Hint: Check the clocks; a certificate that the server made is renewed when it restarts
    "#]]
    .assert_eq(&refusal(&expired));
    let authority = |params: &mut rcgen::CertificateParams| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    expect![[r#"
        Error: Cannot reach `https://127.0.0.1:PORT`: its certificate is an authority's, not a server's
        Hint: Make it with basicConstraints=CA:FALSE, or let the server: aml serve --tls-self-signed
    "#]]
    .assert_eq(&refusal(&authority));
}

#[test]
fn a_request_that_has_begun_is_answered_before_the_server_stops() {
    let aml = Aml::remote();
    let url = aml.url().expect("a server");
    let request = whoami("127.0.0.1", "Expect: 100-continue\r\n");
    let (head, rest) = request.split_at(request.len() - 2);
    let mut stream = TcpStream::connect(("127.0.0.1", port_of(url))).expect("connects");
    stream.write_all(head.as_bytes()).expect("writes");
    // The server answers so when it has begun with the request.
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).expect("reads");
    aml.server().expect("a server").signal(Signal::SIGTERM);
    eventually("nobody new is let in", 5, || {
        TcpStream::connect(("127.0.0.1", port_of(url))).err()
    });
    stream.write_all(rest.as_bytes()).expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    aml.server().expect("a server").stderr_line("Stopped.", 10);
}

#[test]
fn either_signal_stops_the_server() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let aml = Aml::local();
        let (server, _) = serve(&aml, "");
        server.signal(signal);
        assert_eq!(server.wait(10).status, 0);
    }
}

#[test]
fn a_profile_that_a_server_does_not_use_is_said() {
    let aml = Aml::local();
    let team = "profile = \"team\"\n[profiles.team]\nurl = \"http://127.0.0.1:9\"\n";
    std::fs::write(aml.root().join("config.toml"), team).expect("writes");
    let warning = |aml: &Aml| serve(aml, "").0.stderr_line("Warning: ", 5);
    let home = aml.state().display().to_string();
    let file = aml.root().join("config.toml").display().to_string();
    assert_eq!(
        warning(&aml),
        format!(
            "Warning: Serving the state directory `{home}`; the profile `team`, which {file}:1 says to \
             use, is for other commands."
        )
    );
    let named = warning(&aml.with("AML_PROFILE", "team"));
    assert!(named.contains("which AML_PROFILE says to use"), "{named}");
}

#[test]
fn what_was_acknowledged_outlives_a_killed_server() {
    let aml = Aml::local();
    let (server, url) = serve(&aml, "");
    aml.run_with_stdin(format!("login {url} --profile team"), "")
        .ok();
    let team = aml.with("AML_PROFILE", "team");
    let acknowledged = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (team, acknowledged) = (&team, &acknowledged);
            scope.spawn(move || {
                for n in 0..1000 {
                    let name = format!("w{thread}-{n}");
                    if team.run(format!("workspace create -n {name}")).status != 0 {
                        return;
                    }
                    acknowledged.lock().expect("no panic").push(name);
                }
            });
        }
        eventually("twenty are acknowledged", 60, || {
            (acknowledged.lock().expect("no panic").len() >= 20).then_some(())
        });
        server.kill();
    });
    let names = aml.json("workspace list --query '[].name'");
    let names = names.as_array().expect("a list");
    for name in acknowledged.into_inner().expect("no panic") {
        assert!(names.iter().any(|kept| *kept == name), "{name} is lost");
    }
    // The lock of the killed server is free.
    let (again, _) = serve(&aml, "");
    assert!(
        !again.stderr().contains("Another server"),
        "{}",
        again.stderr()
    );
}

#[test]
fn a_second_server_of_a_state_directory_says_so() {
    let aml = Aml::local();
    let (first, url) = serve(&aml, "");
    let (second, other) = serve(&aml, "");
    let warning = second.stderr_line("Warning: Another server has this state directory open", 5);
    assert!(warning.contains(&url), "{warning}");
    // Either does all that the other does.
    aml.run_with_stdin(format!("login {other} --profile team"), "")
        .ok();
    let team = aml.with("AML_PROFILE", "team");
    team.ok("workspace create -n w");
    team.ok("run submit -w w -n r -e x --stream -- echo done");
    first.signal(Signal::SIGTERM);
    assert_eq!(first.wait(10).status, 0);
    team.ok("run submit -w w -n s -e x --stream -- echo done");
}

#[test]
fn whoever_follows_a_run_does_not_keep_the_server() {
    let aml = Aml::remote();
    aml.ok("workspace create -n w");
    aml.ok("run submit -w w -n r -e x -- 'echo begun; sleep 1000'");
    let follower = aml.start("run logs r -w w --follow");
    follower.stdout_line("begun", 30);
    let server = aml.server().expect("a server");
    server.signal(Signal::SIGTERM);
    server.stderr_line("Stopped.", 20);
}

#[test]
fn the_log_names_callers_and_keeps_secrets() {
    let aml = Aml::local();
    let token = first_user(&aml);
    let (server, url) = serve(&aml, "--log requests");
    aml.run_with_stdin(format!("login {url} --profile team"), &token)
        .ok();
    let team = aml.with("AML_PROFILE", "team");
    team.ok("workspace create -n churn");
    team.run_with_stdin("secret set db", "hunter2").ok();
    let line = server.stderr_line("secrets.set", 5);
    assert!(
        line.contains(" secrets.set caller=ann workspace=churn status=200 "),
        "{line}"
    );
    server.stderr_line("users.whoami", 5);
    let log = server.stderr();
    assert!(!log.contains("hunter2") && !log.contains(&token), "{log}");
}

#[test]
fn the_page_of_a_job_shows_it_to_whom_may_see_it() {
    let aml = Aml::local();
    aml.ok("workspace create -n churn");
    aml.ok("run submit -n j1 --param 'a=<b>' -- \
         'echo \"<script>x</script>\"; aml run log --metric loss=0.25'");
    aml.ok("run logs j1 --follow");
    let (_server, url) = serve(&aml, "");
    let ask = |path: &str| {
        exchange(
            &url,
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        )
    };
    let page = ask("/ws/churn/jobs/j1");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let head = page.to_lowercase();
    assert!(
        head.contains("content-security-policy: default-src 'none'"),
        "{page}"
    );
    assert!(
        page.contains("Completed") && page.contains("0.25"),
        "{page}"
    );
    assert!(
        page.contains("&lt;b&gt;") && !page.contains("<b>"),
        "{page}"
    );
    assert!(!page.contains("http-equiv"), "{page}");
    let log = page
        .split("href=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let log = ask(log.expect("a link"));
    assert!(log.contains("<script>x</script>"), "{log}");
    assert!(
        log.to_lowercase().contains("content-type: text/plain"),
        "{log}"
    );
    assert!(ask("/ws/churn/jobs/none").starts_with("HTTP/1.1 404"));
    let token = first_user(&aml);
    let refused = ask("/ws/churn/jobs/j1");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    assert!(refused.contains("Basic realm"), "{refused}");
    let password = BASE64_STANDARD.encode(format!("ann:{token}"));
    let password = format!("Authorization: Basic {password}\r\n");
    let known = whoami("localhost", &password);
    assert!(exchange(&url, &known).starts_with("HTTP/1.1 200"));
    let elsewhere = whoami(
        "localhost",
        &format!("{password}Sec-Fetch-Site: cross-site\r\n"),
    );
    let refused = exchange(&url, &elsewhere);
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
}

#[test]
fn a_server_that_lets_wait_is_said_to_and_waited_for() {
    let aml = Aml::remote();
    aml.ok("workspace create -n churn");
    let server = aml.server().expect("a server");
    server.signal(Signal::SIGSTOP);
    let patient = aml.start("workspace list --query [].name -o tsv");
    patient.stderr_line("has not answered for 5 s. Still waiting", 30);
    server.signal(Signal::SIGCONT);
    assert_eq!(patient.wait(30).ok(), "churn\n");
}
