//! Sweeps: created from files, followed, shown, downloaded.

use serde_json::json;

use crate::support::{Aml, each_mode};

const SWEEP: &str = "\
type: sweep
trial:
  command: >-
    printf '{\"loss\": %s}' ${{search_space.loss}} > outputs/metrics.json &&
    echo ${{search_space.word}} ${{inputs.a}} | tee outputs/word.txt > ${{outputs.made}}/made.txt && cat a.txt
  code: src
  environment: {image: python}
inputs: {a: 0.5}
outputs: {made: {type: uri_folder}}
sampling_algorithm: grid
search_space:
  loss: {type: choice, values: [3, 1, 2]}
  word: {type: choice, values: [hello]}
objective: {goal: minimize, primary_metric: loss}
limits: {max_total_trials: 10, max_concurrent_trials: 2, timeout: 3600}
";

fn with_files(aml: &Aml) {
    aml.ok("workspace create -n w -g g");
    aml.write("src/a.txt", "A\n");
    aml.write("sweep.yml", SWEEP);
}

#[test]
fn the_best_of_a_sweep_is_found_and_downloaded() {
    each_mode(|aml| {
        with_files(aml);
        aml.ok("job create -f sweep.yml -n s --stream");
        let job = aml.json("job show -n s");
        assert_eq!(job["status"], "Completed");
        assert_eq!(job["type"], "sweep");
        assert_eq!(job["properties"]["best_child_run_id"], "s-1");
        assert_eq!(job["properties"]["score"], "1.0");
        let names = "job list --parent-job-name s --query sort([].name)";
        assert_eq!(aml.json(names), json!(["s-0", "s-1", "s-2"]));
        assert_eq!(
            aml.json("run show s-1 --query params"),
            json!({"loss": "1", "word": "hello"})
        );
        let shown = aml.json("sweep show s");
        assert_eq!(shown["best"], "s-1");
        let order = shown["trials"].as_array().expect("trials").iter();
        let order: Vec<_> = order.map(|trial| &trial["name"]).collect();
        assert_eq!(order, ["s-1", "s-2", "s-0"]);
        let text = aml.ok("sweep show s -o table");
        assert!(text.contains("Goal    minimize loss"), "{text}");
        assert!(text.contains("loss by trial"), "{text}");
        aml.ok("job download -n s --all -p got");
        assert_eq!(aml.read("got/artifacts/outputs/word.txt"), "hello 0.5\n");
        assert_eq!(aml.read("got/named-outputs/made/made.txt"), "hello 0.5\n");
        let error = aml.fails(2, "sweep show s-1");
        assert!(error.contains("`s-1` is no sweep"), "{error}");
    });
}

#[test]
fn what_cannot_be_swept_is_said_with_file_and_line() {
    each_mode(|aml| {
        with_files(aml);
        let mistakes = [
            (
                "values: [3, 1, 2]",
                "values: []",
                "sweep.yml:12",
                "nothing to choose from",
            ),
            (
                "max_total_trials: 10",
                "max_total_trials: 0",
                "sweep.yml:15",
                "not a number from 1",
            ),
            (
                "primary_metric: loss",
                "primary_metric: ''",
                "sweep.yml:14",
                "no primary metric",
            ),
            (
                "search_space.word",
                "search_space.wort",
                "sweep.yml:",
                "no search space `wort`",
            ),
        ];
        for (right, wrong, place, message) in mistakes {
            aml.write("sweep.yml", SWEEP.replace(right, wrong));
            let error = aml.fails(2, "job create -f sweep.yml");
            assert!(error.contains(place) && error.contains(message), "{error}");
        }
        let empty = SWEEP.replace(
            "  loss: {type: choice, values: [3, 1, 2]}\n  word: {type: choice, values: [hello]}\n",
            "",
        );
        aml.write("sweep.yml", empty);
        let error = aml.fails(2, "job create -f sweep.yml");
        assert!(error.contains("nothing to try"), "{error}");
        assert_eq!(aml.json("run list"), json!([]));
    });
}
