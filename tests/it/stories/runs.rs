//! Runs: submitted, followed, listed, compared, cancelled, repeated, deleted.

use expect_test::expect;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Aml, each_mode, eventually};

/// A workspace in which there is nothing yet.
fn workspace(aml: &Aml) {
    aml.ok("workspace create -n ws");
}

/// Submits and waits for the end, which must be good.
fn complete(aml: &Aml, name: &str, script: &str) -> Value {
    let line = [
        "run", "submit", "-n", name, "-e", "exp", "--stream", "--", script,
    ];
    aml.ok(line);
    aml.json(["run", "show", name])
}

fn statuses(run: &Value) -> Vec<&str> {
    let history = run["history"].as_array().expect("a history");
    history
        .iter()
        .filter_map(|change| change["status"].as_str())
        .collect()
}

/// Waits until the run has this status.
fn wait_for(aml: &Aml, name: &str, status: &str) -> Value {
    eventually(&format!("{name} is {status}"), 30, || {
        let run = aml.json(["run", "show", name]);
        (run["status"] == status).then_some(run)
    })
}

#[test]
fn a_streamed_run_shows_its_output_and_how_it_ended() {
    each_mode(|aml| {
        workspace(aml);
        let line = "run submit -n good -e exp --stream -- 'echo out; echo err >&2; echo out again'";
        assert_eq!(aml.ok(line), "out\nerr\nout again\n");
        let run = aml.json("run show good");
        assert_eq!(run["status"], "Completed");
        assert_eq!(run["exit_code"], 0);
        let statuses = statuses(&run);
        assert_eq!(statuses.first(), Some(&"Queued"));
        assert!(statuses.contains(&"Running"), "{statuses:?}");

        let output = aml.run("run submit -n bad -e exp --stream -- 'echo oh no; exit 3'");
        let said = output.failed(10);
        assert!(said.contains("Run bad failed"), "{said}");
        let run = aml.json("run show bad");
        assert_eq!(
            (&run["status"], &run["exit_code"]),
            (&json!("Failed"), &json!(3))
        );
        assert_eq!(aml.ok("run logs bad"), "oh no\n");
        aml.fails(10, "run logs bad --follow");
    });
}

#[test]
fn a_run_has_the_code_variables_params_and_tags_it_was_given() {
    each_mode(|aml| {
        workspace(aml);
        aml.ok("secret set key --value hunter2");
        let script = "import os; print(os.environ['LEVEL'], len(os.environ['KEY']))\n";
        aml.write("src/train.py", script);
        aml.ok(
            "run submit -n r -e exp --code src --env-var LEVEL=7 --secret KEY=key --param C=0.1 \
                --tag team=x --display-name 'First try' --stream -- python3 train.py",
        );
        assert_eq!(aml.ok("run logs r"), "7 7\n");
        let run = aml.json("run show r");
        assert_eq!(run["params"], json!({"C": "0.1"}));
        assert_eq!(run["tags"]["team"], "x");
        assert_eq!(run["display_name"], "First try");
        assert_eq!(run["tags"]["mlflow.runName"], "First try");
        assert_eq!(run["snapshot"]["files"], 1);
        assert!(!run.to_string().contains("hunter2"));
    });
}

#[test]
fn a_param_of_the_job_stays_once_the_run_has_ended() {
    each_mode(|aml| {
        workspace(aml);
        let script = "aml run submit -e x -n r -p lr=0.1 -s -- 'aml run log --param lr=0.10'";
        aml.sh(script).ok();
        assert_eq!(aml.json("run show r --query params.lr"), "0.10");
        aml.sh("aml run submit -e x -n s -p lr=0.1 -s -- true").ok();
        expect![[r"
            Error: params: The param `lr` is `0.1` already and cannot change to `0.5`
        "]]
        .assert_eq(&aml.fails(2, "run log s --param lr=0.5"));
    });
}

#[test]
fn a_run_logs_metrics_from_any_language() {
    each_mode(|aml| {
        workspace(aml);
        let aml = aml.with("PATH", aml.path_with_aml());
        let script = "for n in 1 2 3; do aml run log --metric loss=0.$n --step $n; done; \
                      aml run log --metric acc=nan --param C=1 --tag a=b";
        let run = complete(&aml, "r", script);
        assert_eq!(run["metrics"]["loss"]["last"], 0.3);
        assert_eq!(run["metrics"]["loss"]["min"], 0.1);
        assert_eq!(run["metrics"]["loss"]["count"], 3);
        assert_eq!(run["metrics"]["acc"]["last"], "NaN");
        assert_eq!(
            (&run["params"]["C"], &run["tags"]["a"]),
            (&json!("1"), &json!("b"))
        );
        let history = aml.json("run metrics r loss");
        let values: Vec<_> = history
            .as_array()
            .expect("points")
            .iter()
            .map(|p| &p["value"])
            .collect();
        assert_eq!(values, [0.1, 0.2, 0.3]);
        let error = aml.fails(3, "run metrics r lss");
        expect![[r"
            Error: No metric `lss` in the run `r`
            Hint: Did you mean `loss`?
            Hint: Its metrics: acc, loss
        "]]
        .assert_eq(&error);
    });
}

#[test]
fn the_best_run_is_found() {
    each_mode(|aml| {
        workspace(aml);
        let aml = aml.with("PATH", aml.path_with_aml());
        for (name, value) in [("low", "0.5"), ("high", "0.9")] {
            complete(&aml, name, &format!("aml run log --metric acc={value}"));
        }
        let best = "run best -e exp --metric acc --goal";
        assert_eq!(aml.json(format!("{best} maximize"))["name"], "high");
        assert_eq!(aml.json(format!("{best} minimize"))["name"], "low");
        assert_eq!(aml.json(format!("{best} maximize"))["equally_good"], 1);
        complete(&aml, "higher", "aml run log --metric acc=0.9");
        let shared = aml.run(format!("{best} maximize"));
        expect![[r"
            2 runs share the best acc; high is the one that was recorded first.
            Hint: See them: aml run list --experiment exp --order-by 'metrics.acc DESC'
        "]]
        .assert_eq(&shared.stderr);
        assert_eq!(shared.json()["equally_good"], 2);
        aml.ok("run list -e exp --order-by 'metrics.acc DESC'");
        aml.ok("run delete higher --yes");
        let error = aml.fails(3, "run best -e exp --metric accc --goal maximize");
        expect![[r"
            Error: No metric `accc` in a completed run of `exp`
            Hint: Did you mean `acc`?
            Hint: The metrics there are: acc (2 of 2 runs)
        "]]
        .assert_eq(&error);
        let names = aml.ok("run list -e exp --query [].name -o tsv");
        assert_eq!(names, "high\nlow\n");
        let failed = "run list -e exp --filter \"status = 'Faild'\"";
        let error = aml.fails(2, failed);
        expect![[r"
            Error: filter: There is no status `Faild`
            Hint: Did you mean `Failed`?
        "]]
        .assert_eq(&error);
        let table = aml.ok("run list -e exp -o table");
        assert!(table.starts_with("NAME  STATUS     STARTED"), "{table}");
        assert!(table.contains("ACC"), "{table}");
        assert_eq!(aml.json("experiment list")[0]["runs"], 2);
    });
}

#[test]
fn a_cancelled_run_ends_with_all_its_processes() {
    each_mode(|aml| {
        workspace(aml);
        aml.ok("run submit -n r -e exp -- 'echo begun; sleep 1000 & sleep 1000'");
        eventually("the run has begun", 30, || {
            (aml.ok("run logs r") == "begun\n").then_some(())
        });
        aml.ok("run cancel r");
        aml.fails(11, "run logs r --follow");
        let run = wait_for(aml, "r", "Canceled");
        assert_eq!(run["reason"], "Canceled by owner");
        eventually("its processes are gone", 10, || {
            let sleeping = aml
                .processes()
                .iter()
                .any(|(_, line)| line.contains("sleep 1000"));
            (!sleeping).then_some(())
        });
        let error = aml.fails(5, "run cancel r");
        expect![[r"
            Error: Run `r` has already ended; its status is Canceled
        "]]
        .assert_eq(&error);
    });
}

#[test]
fn ctrl_c_stops_the_following_but_not_the_run() {
    each_mode(|aml| {
        workspace(aml);
        let flag = aml.path("flag");
        let wait = format!("until [ -e '{}' ]; do sleep 0.05; done", flag.display());
        let line = format!("echo begun; {wait}; echo end");
        let follow = aml.start([
            "run", "submit", "-n", "r", "-e", "exp", "--stream", "--", &line,
        ]);
        follow.stdout_line("begun", 30);
        follow.signal(Signal::SIGINT);
        let output = follow.wait(10);
        assert_eq!(output.status, 130);
        assert!(
            output.stderr.contains("aml run logs r --follow"),
            "{}",
            output.stderr
        );
        aml.write("flag", "");
        aml.ok("run logs r --follow");
        assert_eq!(aml.ok("run logs r"), "begun\nend\n");
    });
}

#[test]
fn a_run_is_repeated_from_its_snapshot() {
    each_mode(|aml| {
        workspace(aml);
        let script = aml.write("src/train.py", "print('one')\n");
        aml.ok("run submit -n a -e exp --code src --param C=1 --stream -- python3 train.py");
        aml.write("src/train.py", "print('two')\n");
        std::fs::remove_file(script).expect("removes the script");
        aml.ok("run submit -n b --from a --stream");
        assert_eq!(aml.ok("run logs b"), "one\n");
        let (a, b) = (aml.json("run show a"), aml.json("run show b"));
        assert_eq!(a["job"], b["job"]);
        assert_eq!(
            (&b["experiment"], &b["params"]["C"]),
            (&json!("exp"), &json!("1"))
        );
        assert_eq!(aml.ok("run diff a b -o table"), "The runs do not differ\n");
    });
}

#[test]
fn two_runs_are_compared_to_the_line() {
    each_mode(|aml| {
        workspace(aml);
        aml.write("src/train.py", "import sys\nprint('one')\n");
        aml.write("src/old.txt", "x");
        aml.ok("run submit -n a -e exp --code src --param C=1 --stream -- python3 train.py");
        aml.write("src/train.py", "import sys\nprint('two')\n");
        aml.write("src/new.txt", "x");
        std::fs::remove_file(aml.path("src/old.txt")).expect("removes the file");
        aml.ok("run submit -n b -e exp --code src --param C=2 --stream -- python3 train.py -v");
        expect![[r"
            a → b
            Params
              C  1 → 2
            Command
              python3 train.py → python3 train.py -v
            Code
              added   new.txt
              removed old.txt
              changed train.py
              --- train.py
              +++ train.py
              @@ -1,2 +1,2 @@
               import sys
              -print('one')
              +print('two')
        "]]
        .assert_eq(&aml.ok("run diff a b -o table"));
    });
}

#[test]
fn the_git_state_of_the_folder_is_recorded() {
    each_mode(|aml| {
        workspace(aml);
        aml.write("src/train.py", "print(1)\n");
        let git = |arguments: &str| -> String {
            let mut command = aml.program("git");
            command.current_dir(aml.path("src"));
            command.args(["-c", "user.name=me", "-c", "user.email=me@example.org"]);
            command.args(arguments.split(' '));
            aml.finish(command).ok()
        };
        git("init -q -b trunk");
        git("add .");
        git("commit -q -m one");
        let commit = git("rev-parse HEAD");
        aml.ok("run submit -n clean -e exp --code src -- python3 train.py");
        let facts = &aml.json("run show clean")["job"]["git"];
        let expected = json!({"commit": commit.trim(), "branch": "trunk", "dirty": false});
        assert_eq!(*facts, expected);
        aml.write("src/more.py", "");
        aml.ok("run submit -n dirty -e exp --code src -- python3 train.py");
        assert_eq!(aml.json("run show dirty")["job"]["git"]["dirty"], true);
    });
}

#[test]
fn what_cannot_run_is_refused_before_anything_is_sent() {
    each_mode(|aml| {
        workspace(aml);
        aml.write("src/trian.py", "");
        let submit = |rest: &str| aml.run(format!("run submit -e exp {rest}"));
        expect![[r"
            Error: --code: `train.py` is not in `$ROOT/here/src`
            Hint: Did you mean `trian.py`?
        "]]
        .assert_eq(&submit("--code src -- python3 train.py").failed(2));
        expect![[r"
            Error: `src/trian.py` is not there: the run has no code
            Hint: Send this folder along: --code .
        "]]
        .assert_eq(&submit("-- python3 src/trian.py").failed(2));
        expect![[r"
            Error: No secret `key` in `ws`
            Hint: Set it: aml secret set key -w ws
        "]]
        .assert_eq(&submit("--secret KEY=key -- true").failed(3));
        expect![[r"
            Error: --code: There is no folder `scr`
            Hint: Did you mean `src`?
        "]]
        .assert_eq(&submit("--code scr -- python3 train.py").failed(2));
        submit("--timeout soon -- true").failed(2);
        submit("--name 'a b' -- true").failed(2);
        submit("--from nothing").failed(3);
        assert_eq!(aml.json("run list"), json!([]));
    });
}

#[test]
fn a_name_is_one_run_and_can_be_used_again_when_it_is_deleted() {
    each_mode(|aml| {
        workspace(aml);
        complete(aml, "r", "echo one");
        let error = aml.fails(5, "run submit -n R -e exp -- 'echo two'");
        expect![[r#"
            Error: --name: There is a run `r` already; nothing was submitted
            Hint: Choose another name, or leave it out and one is made
        "#]]
        .assert_eq(&error);
        // Not even the same line runs twice, or is said to.
        aml.fails(5, "run submit -n r -e exp --stream -- 'echo one'");
        aml.fails(5, "run submit --from r -n r");
        aml.fails(2, "run delete r");
        aml.ok("run delete r --yes");
        let error = aml.fails(3, "run show r");
        expect![[r"
            Error: No run `r` in `ws`
            Hint: See which there are: aml run list
        "]]
        .assert_eq(&error);
        assert_eq!(complete(aml, "r", "echo two")["status"], "Completed");
        assert_eq!(aml.ok("run logs r"), "two\n");
    });
}

#[test]
fn artifacts_are_downloaded_into_a_folder() {
    each_mode(|aml| {
        workspace(aml);
        complete(
            aml,
            "r",
            "mkdir -p outputs/model; echo one > outputs/model/weights; echo two > outputs/log.txt",
        );
        aml.ok("run download r --output got");
        assert_eq!(aml.read("got/outputs/model/weights"), "one\n");
        assert_eq!(aml.read("got/outputs/log.txt"), "two\n");
        aml.ok("run download r --path outputs/model -o part");
        assert_eq!(aml.read("part/outputs/model/weights"), "one\n");
        assert!(!aml.path("part/outputs/log.txt").exists());
        // A format is one here too; then what was done is the answer.
        let downloaded = aml.json("run download r -p all -o json");
        assert_eq!(downloaded["folder"], "all");
        assert_eq!(downloaded["files"], 3);
        assert_eq!(aml.read("all/outputs/log.txt"), "two\n");
        aml.ok("run download r");
        assert_eq!(aml.read("r/outputs/log.txt"), "two\n");
        aml.fails(2, "run download r -o here -p there");
        expect![[r"
            Error: --output: `tabel` is not a format
            Hint: Did you mean `table`?
            Hint: For a folder of that name: --download-path tabel
        "]]
        .assert_eq(&aml.fails(2, "run download r -o tabel"));
        let error = aml.fails(3, "run download r --path outputs/modle --output x");
        expect![[r"
            Error: --path: No artifact `outputs/modle` in the run `r`
            Hint: Did you mean `outputs/model`?
        "]]
        .assert_eq(&error);
        expect![[r"
            Error: --path: No artifact `nope` in the run `r`
            Hint: There are: outputs/, user_logs/
        "]]
        .assert_eq(&aml.fails(3, "run download r --path nope --output x"));
    });
}

#[test]
fn a_list_says_whose_child_a_run_is() {
    each_mode(|aml| {
        workspace(aml);
        complete(aml, "sweep", "true");
        assert!(!aml.ok("run list -o table").contains("PARENT"));
        aml.ok("run submit -n trial -e exp --tag mlflow.parentRunId=sweep -s -- true");
        let list = aml.ok("run list -o table");
        let trial = list.lines().find(|line| line.starts_with("trial"));
        assert!(list.contains("PARENT") && trial.is_some_and(|line| line.contains("sweep")));
        aml.ok("run log trial --metric loss=0.5");
        expect![[r"
            Error: No metric `loss` in the run `sweep`
            Hint: It has logged no metrics
            Hint: A run below it has it, `trial`: aml run metrics trial loss
        "]]
        .assert_eq(&aml.fails(3, "run metrics sweep loss"));
        let other = aml.fails(3, "run metrics sweep other");
        assert!(!other.contains("below"), "{other}");
    });
}

#[test]
fn following_goes_on_when_the_server_was_killed_and_is_back() {
    let aml = Aml::remote();
    workspace(&aml);
    let flag = aml.path("flag");
    let wait = format!("until [ -e '{}' ]; do sleep 0.05; done", flag.display());
    let line = format!("echo begun; {wait}; echo end");
    let follow = aml.start([
        "run", "submit", "-n", "r", "-e", "exp", "--stream", "--", &line,
    ]);
    follow.stdout_line("begun", 30);
    aml.server().expect("a server").kill();
    let port = aml
        .url()
        .and_then(|url| url.rsplit(':').next())
        .expect("a port");
    let server = aml.with("AML_HOME", aml.state());
    let server = server.start(format!("serve --port {port}"));
    server.stderr_line("Listening on ", 20);
    aml.write("flag", "");
    let output = follow.wait(60);
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (0, "begun\nend\n"),
        "{output}"
    );
    assert_eq!(aml.json("run show r")["status"], "Completed");
}
