//! Jobs written in Azure ML's YAML: created, followed, shown, their inputs and outputs.

use expect_test::expect;
use serde_json::json;

use crate::support::{Aml, each_mode};

const JOB: &str = "\
command: >-
  cat ${{inputs.data}} ${{inputs.folder}}/b.txt && echo ${{inputs.word}} $[[inputs.word]] $VAR &&
  ls && echo made > ${{outputs.made}}/x.txt && echo one > ${{outputs.one}} && echo a > outputs/a.txt
code: src
environment: {image: python}
inputs:
  word: hello
  data: {type: uri_file, path: data/a.txt}
  folder: {path: data, mode: download}
outputs:
  made: {type: uri_folder, name: made, mode: upload}
  one: {type: uri_file}
environment_variables: {VAR: 7}
tags: {team: x}
description: A job
experiment_name: first
compute: azureml:cpu-cluster
";

fn with_files(aml: &Aml) {
    aml.ok("workspace create -n ws");
    aml.write("src/main.py", "");
    aml.write("data/a.txt", "A\n");
    aml.write("data/b.txt", "B\n");
    aml.write("job.yml", JOB);
}

#[test]
fn a_file_becomes_a_job_with_its_inputs_and_outputs() {
    each_mode(|aml| {
        with_files(aml);
        let output = aml.run("job create -f job.yml -n j1 --set inputs.word=hi tags.n=1 --stream");
        let said = output.ok();
        // A server would show its page.
        let page = aml
            .url()
            .map(|url| format!("Web View: {url}/ws/ws/jobs/j1\n"));
        let head = format!("RunId: j1\n{}", page.unwrap_or_default());
        let begin = format!("{head}\nStreaming user_logs/std_log.txt\n");
        assert!(said.starts_with(&begin), "{said}");
        let end = format!("\nExecution Summary\n=================\n{head}\n");
        assert!(said.contains(&end), "{said}");
        let log = "A\nB\nhi $[[inputs.word]] 7\nlogs\nmain.py\noutputs\n";
        assert!(said.contains(log), "{said}");
        let job = aml.json("job show -n j1");
        assert_eq!(job["status"], "Completed");
        let created = job["creation_context"]["created_at"].as_str();
        assert!(created.is_some_and(|at| at.ends_with("+00:00")), "{job}");
        assert_eq!(job["type"], "command");
        assert_eq!(job["compute"], "azureml:cpu-cluster");
        assert_eq!(job["experiment_name"], "first");
        assert_eq!(job["description"], "A job");
        assert_eq!(job["tags"], json!({"team": "x", "n": "1"}));
        assert_eq!(job["inputs"]["word"], "hi");
        let studio = aml.ok("job show -n j1 --query services.Studio.endpoint -o tsv");
        assert!(studio.trim().ends_with("/ws/ws/jobs/j1"), "{studio}");
        let environment = job["environment"].as_str().expect("a reference");
        assert!(
            environment.starts_with("azureml:CliV2AnonymousEnvironment:"),
            "{environment}"
        );
        let data = job["inputs"]["data"]["path"].as_str().expect("an address");
        assert!(
            data.contains("/LocalUpload/") && data.ends_with("/a.txt"),
            "{data}"
        );
        let made = "azureml://datastores/workspaceblobstore/paths/azureml/j1/made/";
        assert_eq!(job["outputs"]["made"]["path"], made);
        assert_eq!(aml.json("run show j1 --query params"), json!({}));

        let got = aml.json("job download -n j1 --all -p got -o json");
        let part = |folder, files| json!({"folder": folder, "files": files});
        assert_eq!(got[0]["folder"], "got/artifacts");
        assert_eq!(got[1], part("got/named-outputs/made", 1));
        assert_eq!(got[2], part("got/named-outputs/one", 1));
        assert_eq!(aml.read("got/artifacts/outputs/a.txt"), "a\n");
        assert_eq!(aml.read("got/named-outputs/made/x.txt"), "made\n");
        assert_eq!(aml.read("got/named-outputs/one/one"), "one\n");
        assert!(
            aml.read("got/artifacts/user_logs/std_log.txt")
                .contains(log)
        );
        assert_eq!(aml.json("data show made --query path"), made);

        let next = "command: cat ${{inputs.before}}/x.txt ${{inputs.asset}}/x.txt ${{inputs.run}}\n\
            environment: {image: python}\ninputs:\n  before: {path: 'azureml://jobs/j1/outputs/made'}\n  \
            asset: {path: 'azureml:made@latest'}\n  run: {type: uri_file, path: 'runs:/j1/outputs/a.txt'}\n";
        aml.write("next.yml", next);
        let said = aml.ok("job create -f next.yml -n j2 --stream -o none");
        assert!(said.contains("made\nmade\na\n"), "{said}");
        let edges = aml.json("lineage data:made:1 --query edges[].[from.name,what,to.name]");
        for edge in [
            json!(["j1", "made", "made"]),
            json!(["made", "asset", "j2"]),
        ] {
            assert!(edges.as_array().expect("a list").contains(&edge), "{edges}");
        }
        let up = aml.json("lineage j2 --query nodes[].[kind,name]");
        assert!(
            up.as_array()
                .expect("a list")
                .contains(&json!(["run", "j1"])),
            "{up}"
        );

        // A run that never started tells what it was to use.
        let broken = "name: broken\nimage: python\nconda_file:\n  dependencies:\n  - pip:\n    - amlite-is-no-package==1\n";
        aml.write("broken.yml", broken);
        aml.ok("environment create -f broken.yml");
        aml.write(
            "never.yml",
            "command: 'true'\nenvironment: azureml:broken@latest\n",
        );
        aml.fails(10, "job create -f never.yml -n j3 --stream");
        let up = aml.json("lineage j3 --query nodes[].[kind,name]");
        assert!(
            up.as_array()
                .expect("a list")
                .contains(&json!(["environment", "broken"])),
            "{up}"
        );
    });
}

#[test]
fn jobs_are_listed_changed_hidden_and_cancelled() {
    each_mode(|aml| {
        with_files(aml);
        aml.write(
            "quick.yml",
            "command: echo hi\nenvironment: {image: python}\n",
        );
        aml.ok("job create -f quick.yml -n a --stream -o none");
        aml.ok("job create -f quick.yml -n b --stream -o none --set parent_job_name=a");
        let names = |line: &str| aml.json(format!("job list --query [].name {line}").as_str());
        assert_eq!(names(""), json!(["a"]));
        assert_eq!(names("--parent-job-name a"), json!(["b"]));
        aml.ok("job archive -n a");
        assert_eq!(names(""), json!([]));
        assert_eq!(names("--archived-only"), json!(["a"]));
        aml.ok("job restore -n a");
        let updated = aml.json("job update -n a --set tags.x=1 display_name=shown description=d");
        assert_eq!(
            (
                &updated["tags"],
                &updated["display_name"],
                &updated["description"]
            ),
            (&json!({"x": "1"}), &json!("shown"), &json!("d"))
        );
        let updated = aml.json("job update -n a --remove tags.x");
        assert_eq!(updated["tags"], json!({}));
        expect![[r#"
            Error: --set: `command` of a job does not change
            Hint: What changes is display_name, description, experiment_name, tags
        "#]]
        .assert_eq(&aml.fails(2, "job update -n a --set command=x"));
        aml.write(
            "long.yml",
            "command: sleep 100\nenvironment: {image: python}\n",
        );
        aml.ok("job create -f long.yml -n c");
        let error = aml.fails(5, "job download -n c");
        assert!(
            error.starts_with("Error: The job `c` has not ended"),
            "{error}"
        );
        aml.ok("job cancel -n c");
        let said = aml.run("job stream -n c").failed(11);
        assert!(said.contains("Canceled by"), "{said}");
    });
}

#[test]
fn what_is_wrong_with_a_job_is_said_before_it_runs() {
    each_mode(|aml| {
        with_files(aml);
        let check = |status, line: &str, expected: expect_test::Expect| {
            expected.assert_eq(&aml.fails(status, line));
        };
        aml.write("bad.yml", "comand: x\nenvironment: {image: python}\n");
        check(
            2,
            "job create -f bad.yml",
            expect![[r#"
                Error: bad.yml:1:1: A command job has no key `comand`
                  |
                1 | comand: x
                  | ^^^^^^
                Hint: Did you mean `command`?
            "#]],
        );
        let validated = aml.run("job validate -f bad.yml");
        assert!(
            validated.stdout.contains("\"result\": \"Failed\""),
            "{}",
            validated.stdout
        );
        validated.failed(1);
        assert_eq!(aml.json("job validate -f job.yml")["result"], "Succeeded");
        check(
            3,
            "job create -f job.yml --set inputs.data.path=azureml:nothing:1",
            expect![[r#"
                Error: job.yml:8:26: No data `nothing` in workspace `ws`
                Hint: See which there are: aml data list
            "#]],
        );
        check(
            3,
            "job create -f job.yml --set environment=azureml:sklearn-15@latest",
            expect![[r#"
                Error: job.yml:5:1: No environment `sklearn-15` in workspace `ws`
                Hint: Did you mean the curated `sklearn-1.5`?
            "#]],
        );
        aml.write("empty.yml", "type: pipeline\njobs: {}\n");
        let error = aml.fails(2, "job create -f empty.yml");
        assert!(error.contains("The pipeline has no steps"), "{error}");
        aml.write(
            "fails.yml",
            "command: echo oh no; exit 3\nenvironment: {image: python}\n",
        );
        let said = aml.run("job create -f fails.yml -n f --stream").failed(10);
        assert!(
            said.contains("The job failed: The command ended with exit code 3"),
            "{said}"
        );
        assert_eq!(aml.json("job show -n f --query status"), "Failed");
    });
}

#[test]
fn several_processes_find_each_other_and_fail_together() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let job = |command: &str, kind: &str| {
            format!(
                "command: {command}\nenvironment: {{image: python}}\nresources: {{instance_count: 2}}\n\
                 distribution: {{type: {kind}, process_count_per_instance: 2}}\n"
            )
        };
        aml.write(
            "ranks.yml",
            job(
                "echo rank $RANK of $WORLD_SIZE > outputs/$RANK.txt",
                "pytorch",
            ),
        );
        aml.ok("job create -f ranks.yml -n ranks --stream -o none");
        aml.ok("job download -n ranks -p got");
        for rank in 0..4 {
            let text = aml.read(&format!("got/artifacts/outputs/{rank}.txt"));
            assert_eq!(text, format!("rank {rank} of 4\n"));
        }
        aml.write(
            "bad.yml",
            job("test $RANK = 2 && exit 7; sleep 600", "pytorch"),
        );
        let said = aml.run("job create -f bad.yml --stream -o none").failed(10);
        assert!(
            said.contains("The command ended with exit code 7"),
            "{said}"
        );
    });
}

#[test]
fn what_a_job_installs_or_fails_to_make_stays_its_own() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let install = "command: >-\n  python -c 'import sysconfig; \
            open(sysconfig.get_path(\"purelib\") + \"/extra.py\", \"w\").write(\"x = 1\")' &&\n  \
            python -c 'import extra' && echo half > ${{outputs.up}}/a && echo half > ${{outputs.rw}}/a && exit 1\n\
            environment: {image: python}\noutputs:\n  up: {mode: upload, name: up}\n  rw: {mode: rw_mount}\n";
        aml.write("install.yml", install);
        aml.run("job create -f install.yml -n one --stream -o none")
            .failed(10);
        aml.ok("job download -n one --all -p got");
        assert_eq!(aml.read("got/named-outputs/rw/a"), "half\n");
        assert!(
            !aml.path("got/named-outputs/up/a").exists(),
            "it did not succeed"
        );
        aml.fails(3, "data show up");
        aml.write(
            "look.yml",
            "command: python -c 'import extra'\nenvironment: {image: python}\n",
        );
        let output = aml.run("job create -f look.yml --stream -o none");
        assert!(
            output.stdout.contains("No module named 'extra'"),
            "{output:?}"
        );
    });
}

#[test]
fn mirrors_stand_for_addresses_that_cannot_be_reached() {
    let aml = Aml::local();
    aml.ok("workspace create -n ws");
    aml.write("mirror/iris.csv", "a,b\n");
    aml.write("repository/train.py", "print('trained')\n");
    aml.sh("cd repository && git init -q && git add . && git -c user.name=a -c user.email=a@b commit -qm x").ok();
    let at = |folder: &str| aml.path(folder).display().to_string();
    let mirrors = format!(
        "[mirrors]\n\"https://example.blob.core.windows.net/datasets/\" = {:?}\n\
         \"https://git.example.com/team/code\" = {:?}\n",
        at("mirror"),
        at("repository")
    );
    aml.write("mirrors.toml", mirrors);
    let aml = aml.with("AML_CONFIG", at("mirrors.toml"));
    aml.write(
        "job.yml",
        "command: cat ${{inputs.a}} ${{inputs.b}} && python train.py\nenvironment: {image: python}\n\
         code: git+https://git.example.com/team/code\ninputs:\n  \
         a: {type: uri_file, path: 'https://example.blob.core.windows.net/datasets/iris.csv'}\n  \
         b: {type: uri_file, path: 'wasbs://datasets@example.blob.core.windows.net/iris.csv', mode: download}\n",
    );
    let said = aml.ok("job create -f job.yml --stream -o none");
    assert!(said.contains("a,b\na,b\ntrained\n"), "{said}");
}

#[test]
fn one_output_that_cannot_be_stored_keeps_no_other_from_it() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        aml.write("place/x", "");
        aml.ok("datastore create -n gone --type local --path place");
        let job = "command: echo kept > ${{outputs.b}}/x && echo lost > ${{outputs.a}}/x && echo c > ${{outputs.c}}/x; rm -r ${{inputs.place}}; \
            touch ${{inputs.place}}; exit ${{inputs.code}}\n\
            environment: {image: python}\ninputs: {code: 0, place: PLACE}\noutputs:\n  \
            a: {path: 'azureml://datastores/gone/paths/a', mode: rw_mount}\n  b: {mode: rw_mount}\n  \
            c: {path: 'azureml://datastores/gone/paths/c', mode: rw_mount}\n  d: {type: uri_file, name: nothing}\n";
        let place = aml.path("place").display().to_string();
        aml.write("job.yml", job.replace("PLACE", &place));
        aml.run("job create -f job.yml -n good --stream -o none")
            .failed(10);
        let shown = aml.ok("job show -n good");
        assert!(shown.contains("The output `a`: "), "{shown}");
        aml.ok("job download -n good --output-name b -p good");
        aml.ok("job download -n good -p good");
        assert_eq!(aml.read("good/named-outputs/b/x"), "kept\n");
        let log = aml.read("good/artifacts/user_logs/std_log.txt");
        assert!(log.contains("The output `c`: "), "{log}");
        assert!(log.contains("d was not registered as nothing"), "{log}");
        aml.fails(3, "data show nothing");
        std::fs::remove_file(aml.path("place")).expect("the job made it");
        aml.write("place/x", "");
        aml.run("job create -f job.yml -n bad --set inputs.code=1 --stream -o none")
            .failed(10);
        aml.ok("job download -n bad --output-name b -p bad");
        aml.ok("job download -n bad -p bad");
        assert_eq!(aml.read("bad/named-outputs/b/x"), "kept\n");
        let log = aml.read("bad/artifacts/user_logs/std_log.txt");
        assert!(log.contains("The output `a`: "), "{log}");
    });
}

#[test]
fn a_place_that_cannot_be_written_to_is_found_before_the_command_runs() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        aml.write(
            "job.yml",
            "command: touch RAN\nenvironment: {image: python}\noutputs:\n  a: {path: 'https://host/folder'}\n"
                .replace("RAN", &aml.path("ran").display().to_string()),
        );
        let said = aml.run("job create -f job.yml --stream -o none").failed(10);
        assert!(
            said.contains("The output `a`: nothing can be written to `https://host/folder`"),
            "{said}"
        );
        let none = "azureml://datastores/none/paths/x";
        let set = format!("job create -f job.yml --set outputs.a.path={none} --stream -o none");
        let said = aml.run(set.as_str()).failed(10);
        assert!(said.contains("No datastore `none`"), "{said}");
        assert!(!aml.path("ran").exists(), "it did not run");
    });
}

#[test]
fn names_of_files_are_words_to_the_shell_whatever_is_in_them() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        aml.write("data/a $(touch bad) 'b'.txt", "odd\n");
        aml.write(
            "job.yml",
            "command: cat ${{inputs.a}} \"${{inputs.a}}\" '${{inputs.a}}' && ls && echo '$[[inputs.x]]' ${{inputs.args}}\n\
             environment: {image: python}\ninputs:\n  args: -n $((1+1))\n  \
             a: {type: uri_file, path: \"data/a $(touch bad) 'b'.txt\"}\n",
        );
        let said = aml.ok("job create -f job.yml --stream -o none");
        assert!(
            said.contains("odd\nodd\nodd\nlogs\noutputs\n$[[inputs.x]] -n 2\n"),
            "{said}"
        );
    });
}

#[test]
fn an_output_is_registered_once_however_often_its_end_is_begun() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        // What a worker leaves that is killed before it has reported the end.
        aml.write(
            "made.yml",
            "type: uri_folder\nname: made\npath: azureml://datastores/workspaceblobstore/paths/azureml/j1/o/\n",
        );
        aml.ok("data create -f made.yml");
        aml.ok("data update made:1 --property aml.run=j1");
        aml.write(
            "job.yml",
            "command: echo m > ${{outputs.o}}/m && echo m > ${{outputs.m}}/m\nenvironment: {image: python}\n\
             outputs:\n  o: {name: made}\n  m: {type: custom_model, name: model}\n",
        );
        aml.ok("job create -f job.yml -n j1 --stream -o none");
        aml.ok("job create -f job.yml -n j2 --stream -o none");
        let versions = aml.json("data list --name made --query [].version");
        assert_eq!(versions, json!(["2", "1"]));
        assert_eq!(aml.json("model show model:2 --query lineage.run"), "j2");
    });
}

#[test]
fn a_model_can_be_written_to_its_place_by_the_command() {
    let aml = Aml::local();
    aml.ok("workspace create -n ws");
    aml.write(
        "job.yml",
        "command: echo m > ${{outputs.m}}/weights\nenvironment: {image: python}\n\
         outputs:\n  m: {type: custom_model, name: direct, mode: direct}\n",
    );
    aml.ok("job create -f job.yml --stream -o none");
    assert_eq!(aml.json("model show direct:1 --query files.files"), 1);
}

#[test]
fn a_job_gets_the_files_that_a_table_names() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        for folder in ["one", "two"] {
            aml.write(&format!("{folder}.csv"), format!("a\n{folder}\n"));
            aml.ok(
                format!("datastore upload {folder}.csv workspaceblobstore {folder}/x.csv").as_str(),
            );
        }
        let place = "azureml://datastores/workspaceblobstore/paths";
        let table = format!(
            "paths:\n  - file: {place}/one/x.csv\n  - file: {place}/two/x.csv\ntransformations: [read_delimited]\n"
        );
        aml.write("table/MLTable", &table);
        for mode in ["eval_mount", "eval_download"] {
            aml.write(
                "job.yml",
                format!(
                    "command: cat $(find -L ${{{{inputs.t}}}} -type f | sort)\n\
                     environment: {{image: python}}\n\
                     inputs: {{t: {{type: mltable, path: table, mode: {mode}}}}}\n"
                ),
            );
            let said = aml.ok(format!("job create -f job.yml -n {mode} --stream").as_str());
            let both = said.contains("one\n") && said.contains("two\n");
            assert!(both, "{mode}: {said}");
        }
        aml.ok("workspace create -n other");
        let other = "azureml://subscriptions/s/resourcegroups/g/workspaces/other/";
        let elsewhere = table.replace("azureml://", other);
        aml.write("table/MLTable", &elsewhere);
        let run = aml.run("job create -f job.yml -w ws -n elsewhere --stream");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("which is in another workspace"), "{said}");
    });
}

#[test]
fn a_job_that_is_not_there_is_called_a_job_by_every_command() {
    each_mode(|aml| {
        with_files(aml);
        for verb in ["show", "cancel", "archive", "restore", "stream", "download"] {
            let error = aml.fails(3, format!("job {verb} -n nope"));
            let begins = "Error: No job `nope` in `";
            assert!(error.starts_with(begins), "{verb}: {error}");
            assert!(error.contains("aml job list"), "{verb}: {error}");
        }
    });
}

#[test]
fn a_misspelt_compute_is_told_where_any_machine_would_do() {
    each_mode(|aml| {
        with_files(aml);
        let elsewhere = aml.run("job create -f job.yml -n j1");
        assert!(
            !elsewhere.stderr.contains("compute"),
            "{}",
            elsewhere.stderr
        );
        aml.ok("compute create -n cpu-clusters --type amlcompute");
        let near = aml.run("job create -f job.yml -n j2");
        assert!(
            near.stderr.contains("No compute is called cpu-cluster:")
                && near.stderr.contains("Did you mean `cpu-clusters`?"),
            "{}",
            near.stderr
        );
    });
}
