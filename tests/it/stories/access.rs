//! Users, tokens, profiles and what roles allow over the network.

use expect_test::expect;
use serde_json::json;

use crate::support::Aml;

/// A server with the admin `root`, and a machine that is logged in as that.
fn with_admin() -> (Aml, Aml) {
    let aml = Aml::remote();
    let token = create(&aml, "root");
    let root = aml.with("AML_TOKEN", token);
    (aml, root)
}

fn create(aml: &Aml, name: &str) -> String {
    let token = aml.json(format!("user create {name} --query token"));
    token.as_str().expect("a token").to_owned()
}

#[test]
fn logging_in_and_out() {
    let (aml, root) = with_admin();
    let url = aml.url().expect("a server");
    let ann = create(&root, "ann");
    // Nobody is the owner by default any more.
    expect![[r#"
        Error: This server needs a token
        Hint: Log in: aml login http://127.0.0.1:PORT --profile team
        Hint: An admin makes tokens: aml user create NAME
    "#]]
    .assert_eq(&aml.fails(4, "workspace list"));
    let login =
        |options: &str, stdin: &str| aml.run_with_stdin(format!("login {url} {options}"), stdin);
    expect![[r#"
        Error: The token is not valid here
        Hint: An admin makes a new one: aml user rotate-token NAME
    "#]]
    .assert_eq(&login("", "aml_wrong\n").failed(4));
    expect![[r#"
        Error: The token has blanks or line breaks within
    "#]]
    .assert_eq(&login("", "two words").failed(2));
    expect![[r#"
        Error: This server needs a token
        Hint: Give one when you are asked, on stdin, or in AML_TOKEN
        Hint: An admin makes tokens: aml user create NAME
    "#]]
    .assert_eq(&login("", "").failed(4));
    let stale = aml.with("AML_TOKEN", "aml_wrong");
    expect![[r#"
        Error: The token is not valid here
        Hint: An admin makes a new one: aml user rotate-token NAME
        Hint: The token is that of AML_TOKEN: correct or unset it
    "#]]
    .assert_eq(&stale.fails(4, "run list"));
    assert_eq!(login("", &format!("{ann}\n")).json()["name"], "ann");
    assert_eq!(aml.json("whoami")["name"], "ann");
    aml.ok("logout");
    aml.fails(4, "whoami");
    let warned = aml.run(format!("login {url} --token {ann}"));
    assert!(
        warned
            .stderr
            .contains("Warning: A token on the command line can be seen")
    );
    warned.ok();
    let credentials = aml.root().join("credentials.toml");
    let mode = std::fs::metadata(credentials)
        .expect("is there")
        .permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
}

#[test]
fn a_login_that_cannot_be() {
    let aml = Aml::local();
    let login = |url: &str, status: i32| aml.run_with_stdin(["login", url], "t").failed(status);
    expect![[r#"
        Error: URL: `ml.example.com:5000` does not say http or https
        Hint: With TLS: aml login https://ml.example.com:5000
        Hint: Without: aml login http://ml.example.com:5000
    "#]]
    .assert_eq(&login("ml.example.com:5000", 2));
    expect![[r#"
        Warning: The token travels in the clear to this address; others on the network can read it.
        Error: Cannot reach `http://aml.invalid`: there is no host of that name
        Hint: Check the spelling
    "#]]
    .assert_eq(&login("http://aml.invalid", 6));
    // A server that is none of ours.
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = other.local_addr().expect("an address").port();
    let answers = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = other.accept().expect("accepts");
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope",
        );
    });
    expect![[r#"
        Error: `http://127.0.0.1:PORT` answers, but not as an AMLite server: The server answered 404 Not Found: nope
        Hint: Check the address and the port; the server prints them when it starts
    "#]]
    .assert_eq(&login(&format!("http://127.0.0.1:{port}"), 6));
    answers.join().expect("ends");
    // Nobody listens there any more.
    expect![[r#"
        Error: Cannot reach `http://127.0.0.1:PORT`: Connection refused (os error 111)
        Hint: Is the server running? Start it there with: aml serve
    "#]]
    .assert_eq(&login(&format!("http://127.0.0.1:{port}"), 6));
    assert_eq!(aml.json("profile list --query '[].name'"), json!(["local"]));
}

#[test]
fn profiles_are_chosen_and_forgotten() {
    let aml = Aml::remote();
    let url = aml.url().expect("a server").to_owned();
    let plain = aml.with("AML_PROFILE", "");
    plain
        .run_with_stdin(format!("login {url} --profile two"), "")
        .ok();
    let names = "profile list --query '[].[name, default]'";
    assert_eq!(
        plain.json(names),
        json!([["local", true], ["team", false], ["two", false]])
    );
    // The server needs no token, and this machine has nobody to log in.
    let listed = plain.ok("profile list -o table");
    let of = |name: &str| {
        let mut lines = listed.lines();
        lines.find(|line| line.starts_with(name)).expect("a line")
    };
    assert!(of("two").contains("without a token"), "{listed}");
    assert!(of("local").contains(" - "), "{listed}");
    plain.ok("profile use two");
    plain.ok("workspace create -n there");
    plain.ok("workspace use there");
    assert_eq!(plain.json("profile show --query workspace"), "there");
    assert_eq!(plain.json("workspace list --profile local"), json!([]));
    // Another server with the same host gets another name, and the same one keeps its settings.
    plain
        .run_with_stdin(format!("login {url} --profile two"), "")
        .ok();
    assert_eq!(plain.json("profile show two --query workspace"), "there");
    plain.ok("profile remove two");
    assert_eq!(plain.json("workspace list"), json!([]));
    expect![[r#"
        Error: No profile `tea` in `$ROOT/config.toml`
        Hint: Did you mean `team`?
    "#]]
    .assert_eq(&plain.fails(3, "profile use tea"));
}

#[test]
fn roles_hold_over_the_network() {
    let (aml, root) = with_admin();
    root.ok("workspace create -n churn");
    let ann = aml.with("AML_TOKEN", create(&root, "ann"));
    assert_eq!(ann.json("workspace list"), json!([]));
    expect![[r#"
        Error: No workspace `churn`
        Hint: If it is there, an owner can share it with you: aml workspace share add -n churn --user ann --role Reader
    "#]]
    .assert_eq(&ann.fails(3, "workspace show -n churn"));
    let error = ann.fails(3, "workspace show -n CHURN");
    let other = ann.fails(3, "workspace show -n other");
    assert_eq!(
        error.replace("CHURN", "other"),
        other,
        "names cannot be learnt"
    );
    expect![[r#"
        Error: No workspace is shared with `ann`
        Hint: An owner of one can do it: aml workspace share add -n NAME --user ann --role Reader
    "#]]
    .assert_eq(&ann.fails(3, "run list"));
    root.ok("workspace share add -n churn --user ann --role reader");
    expect![[r#"
        Error: `ann` is not an admin of the server and may not create workspaces
        Hint: An admin can create it and make you its owner: aml workspace create -n mine && aml workspace share add -n mine --user ann --role Owner
    "#]]
    .assert_eq(&ann.fails(4, "workspace create -n mine"));
    assert_eq!(ann.json("workspace show -n churn --query name"), "churn");
    for denied in [
        "workspace update -n churn --description x",
        "workspace keys -n churn",
        "workspace delete -n churn --yes",
        "workspace share add -n churn --user ann --role owner",
        "workspace create -n mine",
        "secret delete db -w churn --yes",
        "secret get db -w churn",
        "run submit -w churn --experiment e -- true",
        "user list",
        "user create eve",
        "worker",
    ] {
        let error = ann.fails(4, denied);
        assert!(!error.contains("Working as"), "{error}");
    }
    root.ok("workspace share add -n churn --user ann --role contributor");
    ann.ok("workspace update -n churn --description x");
    root.ok("workspace share remove -n churn --user ann");
    ann.fails(3, "workspace show -n churn");
}

#[test]
fn what_a_run_calls_speaks_as_the_run_where_there_are_users() {
    let (aml, root) = with_admin();
    root.ok("workspace create -n ws");
    let ann = aml.with("AML_TOKEN", create(&root, "ann"));
    root.ok("workspace share add -n ws --user ann --role data-scientist");
    let script = "aml run submit -w ws -s -- 'aml whoami --query name -o tsv; aml user create evil --admin; \
                  echo user $?; aml secret list; echo secret $?; aml run list --query \"length(@)\"' 2>&1";
    let output = ann.sh(script).ok();
    for part in ["\nrun\n", "user 4", "secret 4", "secret 4\n1\n"] {
        assert!(output.contains(part), "{part:?} is not in {output}");
    }
    assert_eq!(
        root.json("user list --query [].name"),
        json!(["ann", "root"])
    );
}

#[test]
fn who_may_not_create_the_quickstart_s_workspace_is_told_who_may() {
    let (aml, root) = with_admin();
    let ann = aml.with("AML_TOKEN", create(&root, "ann"));
    expect![[r#"
        Error: The quickstart works in a workspace `quickstart`, which `ann` cannot see, and only admins create workspaces
        Hint: An admin can create it: aml workspace create -n quickstart
        Hint: And share it: aml workspace share add -n quickstart --user ann --role data-scientist
        Hint: Then call this again; or try it on this machine: aml quickstart --profile local
    "#]]
    .assert_eq(&ann.fails(4, "quickstart"));
}

#[test]
fn what_a_run_calls_speaks_as_the_owner_where_there_are_none() {
    let aml = Aml::local();
    aml.ok("workspace create -n ws");
    let script = "aml run submit -s -- 'aml whoami --query address -o tsv; aml data list' 2>&1";
    let output = aml.sh(script).ok();
    let address = format!("\n{}\n[]\n", aml.state().display());
    assert!(output.contains(&address), "{output}");
}

#[test]
fn a_rotated_token_and_a_deleted_user() {
    let (aml, root) = with_admin();
    let first = aml.with("AML_TOKEN", create(&root, "ann"));
    let newer = first.json("user rotate-token ann --query token");
    first.fails(4, "whoami");
    let ann = aml.with("AML_TOKEN", newer.as_str().expect("a token"));
    assert_eq!(ann.json("whoami --query name"), "ann");
    root.ok("user delete ann --yes");
    ann.fails(4, "whoami");
    expect![[r#"
        Error: `root` is the last admin; nobody could manage the other users
        Hint: Make another admin first: aml user create NAME --admin
    "#]]
    .assert_eq(&{
        create(&root, "bob");
        root.fails(5, "user delete root --yes")
    });
}

#[test]
fn a_configuration_file_keeps_what_people_wrote_around_it() {
    let aml = Aml::local();
    let file = aml.root().join("config.toml");
    let text = "# Ours.\nworkspace = \"old\" # for now\n\n[worker]\n# Leave one core.\nslots = 3\n";
    std::fs::write(&file, text).expect("writes");
    aml.ok("workspace create -n churn");
    aml.ok("workspace use churn");
    let kept = std::fs::read_to_string(&file).expect("reads");
    assert_eq!(kept, text.replace("\"old\"", "\"churn\""));
}

#[test]
fn a_token_goes_only_to_the_server_it_was_given_for() {
    let (one, root) = with_admin();
    let ann = create(&root, "ann");
    let login = |aml: &Aml, url: &str, token: &str| {
        aml.run_with_stdin(format!("login {url} --profile team"), token)
            .ok();
    };
    let url = one.url().expect("a server");
    login(&one, url, &ann);
    assert_eq!(one.json("whoami")["name"], "ann");
    // Another server, which a second configuration file in the folder calls by the same name.
    let (other, other_root) = with_admin();
    let bob = create(&other_root, "bob");
    let other_url = other.url().expect("a server");
    let file = one.root().join("second.toml");
    let text = format!("[profiles.team]\nurl = \"{other_url}\"\n");
    std::fs::write(&file, &text).expect("writes");
    let second = one.with("AML_CONFIG", &file);
    expect![[r#"
        Error: This server needs a token
        Hint: Log in: aml login http://127.0.0.1:PORT --profile team
        Hint: An admin makes tokens: aml user create NAME
        Hint: The token kept for `team` is that of another server; it is not sent to this one
    "#]]
    .assert_eq(&second.fails(4, "whoami"));
    login(&second, other_url, &bob);
    assert_eq!(second.json("whoami")["name"], "bob");
    assert_eq!(one.json("whoami")["name"], "ann");
    // Nor does it follow when somebody changes the address.
    let moved = one.root().join("config.toml");
    let known = std::fs::read_to_string(&moved).expect("reads");
    std::fs::write(&moved, known.replace(url, "http://127.0.0.1:9")).expect("writes");
    let shown = one.json("profile show team");
    assert_eq!(shown["logged_in"], false, "{shown}");
    let said = one.run("logout team").stderr;
    assert!(
        said.contains("had no token for the server it names"),
        "{said}"
    );
    assert!(said.contains(url) && said.contains(other_url), "{said}");
    std::fs::write(&moved, known).expect("writes");
    second.ok("logout team");
    second.fails(4, "whoami");
    assert_eq!(one.json("whoami")["name"], "ann");
    // Of a profile that is forgotten nothing is kept, whichever server it named.
    login(&second, other_url, &bob);
    one.ok("profile remove team");
    let tokens = std::fs::read_to_string(one.root().join("credentials.toml")).expect("reads");
    assert!(!tokens.contains("team"), "{tokens}");
}
