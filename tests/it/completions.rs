//! The committed completion scripts, in the shells that Debian packages.

use std::path::Path;

use crate::support::{Aml, components, each_mode, root};

const SCRIPTS: [(&str, &str); 4] = [
    ("bash", "completions/bash/aml"),
    ("zsh", "completions/zsh/_aml"),
    ("fish", "completions/fish/aml.fish"),
    ("powershell", "completions/powershell/aml.ps1"),
];

#[test]
fn scripts_are_fresh() {
    let aml = Aml::local();
    for (shell, file) in SCRIPTS {
        let script = aml.ok(["completions", shell]);
        crate::docs::assert_fresh(file, &script);
    }
}

/// What a shell is offered for the last word of a line.
fn offered(aml: &Aml, line: &str) -> String {
    let mut command = aml.command(["--"]);
    command.args(line.split(' ')).env("COMPLETE", "fish");
    let offered = aml.finish(command).ok();
    let names = offered.lines().filter(|word| !word.starts_with("--"));
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn names_of_all_kinds_are_offered() {
    each_mode(|aml| {
        assert_eq!(offered(aml, "aml run show "), "", "nothing is there yet");
        assert!(
            aml.is_remote() || !aml.state().exists(),
            "TAB makes nothing"
        );
        aml.ok("workspace create -n churn");
        aml.ok("workspace create -n fraud");
        aml.ok("secret set db --value x -w churn");
        aml.ok("run submit -n first -e iris -w churn -- true");
        assert_eq!(offered(aml, "aml run show -w c"), "churn");
        assert_eq!(
            offered(aml, "aml run show "),
            "",
            "which workspace is not known"
        );
        assert_eq!(offered(aml, "aml run show -w churn "), "first");
        assert_eq!(offered(aml, "aml run submit -w churn --from F"), "first");
        assert_eq!(offered(aml, "aml run submit -w churn --name "), "");
        assert_eq!(offered(aml, "aml run list -w churn --experiment "), "iris");
        assert_eq!(offered(aml, "aml run list -w fraud --experiment "), "");
        assert_eq!(offered(aml, "aml secret get -w churn "), "db");
        assert_eq!(offered(aml, "aml run list -w unknown --experiment "), "");
        aml.ok("run log first --metric accuracy=1 -w churn");
        assert_eq!(offered(aml, "aml run best -w churn --metric a"), "accuracy");
        let role = "aml workspace share add -n churn --role d";
        assert_eq!(offered(aml, role), "data-scientist");
        assert_eq!(offered(aml, "aml run submit --env sk"), "sklearn-1.5");
        aml.ok("data create -n flowers --path https://host/x -w churn");
        aml.ok("registry create -n team");
        assert_eq!(offered(aml, "aml data show -w churn F"), "flowers");
        assert_eq!(offered(aml, "aml data list --registry-name t"), "team");
        let profiles = if aml.is_remote() {
            "team local"
        } else {
            "local"
        };
        assert_eq!(offered(aml, "aml profile use "), profiles);
    });
}

#[test]
fn az_is_completed_too() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        let offered = |line: &str| {
            let mut command = aml.program(env!("CARGO_BIN_EXE_aml"));
            std::os::unix::process::CommandExt::arg0(&mut command, "az");
            command
                .arg("--")
                .args(line.split(' '))
                .env("COMPLETE", "fish");
            aml.finish(command).ok()
        };
        assert!(
            offered("az ml jo").starts_with("job\t"),
            "{}",
            offered("az ml jo")
        );
        assert!(offered("az ml job cr").contains("create"));
        assert!(offered("az ml compute create --max").contains("--max-instances"));
        assert_eq!(offered("az ml job list -w c"), "churn\n");
        let script = aml.ok("completions bash --program az");
        assert!(
            script.contains("-F _az az") && !script.contains("aml"),
            "{script}"
        );
    });
}

/// Makes many runs with a metric, as a client of MLflow's does.
const MANY: &str = r#"
import json, os, time, urllib.request
def post(what, body):
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + what
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = "Bearer " + token
    asked = urllib.request.Request(url, json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(asked))
now = int(time.time() * 1000)
experiment = post("experiments/create", {"name": "many"})["experiment_id"]
for _ in range(50):
    run = post("runs/create", {"experiment_id": experiment, "start_time": now})["run"]
post("runs/log-metric", {"run_id": run["info"]["run_id"], "key": "loss", "value": 1, "timestamp": now})
"#;

#[test]
fn what_is_typed_finds_an_older_run_and_the_metrics_of_its_experiment() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.ok("run submit -n Old_one -e iris --stream -- true");
        aml.ok("run log Old_one --metric accuracy=1");
        aml.write("many.py", MANY);
        aml.ok("mlflow -- python3 many.py");
        let all = offered(aml, "aml run show ");
        assert!(!all.contains("Old_one"), "{all}");
        assert_eq!(offered(aml, "aml run show old_"), "Old_one");
        assert_eq!(offered(aml, "aml run show old'"), "");
        let of = |experiment: &str| offered(aml, &format!("aml run best {experiment} --metric "));
        assert_eq!(of("--experiment iris"), "accuracy");
        assert_eq!(of("-e many"), "loss");
    });
}

/// Completes `aml workspace show -n ch` with one workspace that fits in another case, in a shell
/// that prints its candidates.
fn completes(shell: &str, script: impl Fn(&Path) -> String) {
    let shell = match components::debian(shell, shell) {
        Ok(shell) => shell,
        Err(why) => return components::skipped(&why),
    };
    each_mode(|aml| {
        aml.ok("workspace create -n Churn");
        aml.ok("workspace create -n fraud");
        let mut command = aml.program(&shell);
        command.args(["-c", &script(root())]);
        command.env("PATH", aml.path_with_aml());
        let candidates = aml.within_seconds(30).finish(command).ok();
        assert!(candidates.contains("Churn"), "{candidates}");
        assert!(!candidates.contains("fraud"), "{candidates}");
    });
}

#[test]
fn bash_completes() {
    completes("bash", |root| {
        let file = root.join("completions/bash/aml");
        format!(
            "source {}
             COMP_LINE='aml workspace show -n ch' COMP_POINT=24 COMP_TYPE=9
             COMP_WORDS=(aml workspace show -n ch) COMP_CWORD=4
             complete -p aml >/dev/null && _aml aml ch -n
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file.display()
        )
    });
}

/// Bash has split the line at its own breaks and replaces what comes after the last of them.
#[test]
fn bash_completes_what_it_takes_for_several_words() {
    let bash = match components::debian("bash", "bash") {
        Ok(bash) => bash,
        Err(why) => return components::skipped(&why),
    };
    each_mode(|aml| {
        aml.ok("workspace create -n Churn");
        aml.write("weights", "1");
        aml.ok("model register -n iris --path weights");
        aml.ok("model register -n iris --path weights --tag n=2");
        let offered = |line: &str, words: &str, last: &str| {
            let script = format!(
                "source {}/completions/bash/aml
                 COMP_LINE='{line}' COMP_POINT={} COMP_TYPE=9
                 COMP_WORDS=({words}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
                 _aml aml '{last}' ''
                 printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                root().display(),
                line.len()
            );
            let mut command = aml.program(&bash);
            command.args(["-c", &script]);
            command.env("PATH", aml.path_with_aml());
            aml.within_seconds(30).finish(command).ok()
        };
        let versions = offered("aml model show iris:", "aml model show iris :", "");
        assert_eq!(versions, "2\n1\n");
        assert_eq!(
            offered("aml model show iris:1", "aml model show iris : 1", "1"),
            "1\n"
        );
        aml.ok("model alias set iris:1 champion");
        assert_eq!(
            offered("aml deploy iris@ch", "aml deploy iris @ ch", "ch"),
            "champion\n"
        );
        let line = "aml run list --workspace=ch";
        assert_eq!(
            offered(line, "aml run list --workspace = ch", "ch"),
            "Churn\n"
        );
    });
}

#[test]
fn fish_completes() {
    completes("fish", |root| {
        let file = root.join("completions/fish/aml.fish");
        format!(
            "source {}; complete -C 'aml workspace show -n ch'",
            file.display()
        )
    });
}

/// In a terminal, as zsh completes nowhere else: TAB after `ch` must leave `Churn` on the line.
#[test]
fn zsh_completes() {
    completes("zsh", |root| {
        let folder = root.join("completions/zsh");
        format!(
            r"zmodload zsh/zpty
              zpty shell zsh -f -i
              zpty -w shell 'fpath=({} $fpath); autoload -Uz compinit; compinit -u; print $((40+2))ready'
              zpty -r shell text '*42ready*'
              zpty -w -n shell $'aml workspace show -n ch\t'
              zpty -r shell text '*Churn*'
              print -r -- $text
              zpty -d shell",
            folder.display()
        )
    });
}
