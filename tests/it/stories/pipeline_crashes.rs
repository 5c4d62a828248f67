//! A pipeline whose worker is killed again and again: it completes, no step runs twice, nothing stays
//! behind. `AML_SEED=N cargo test …` kills at the moments of another seed.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{Aml, eventually};

const STEPS: usize = 50;
const KILLS: u32 = 100;
/// From a worker's start to its end, at most.
const LIFE: u64 = 700;

/// Numbers that look like chance and are the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Steps that need some of those before them. Each says twice who it is: when it begins, and when
    /// it has done what it is for.
    fn pipeline(&mut self, aml: &Aml) -> String {
        let effects = aml.path("effects").display().to_string();
        let mut text = String::from(
            "type: pipeline\nsettings: {default_compute: azureml:serverless, force_rerun: true}\njobs:\n",
        );
        for at in 0..STEPS {
            let mut inputs = String::new();
            for before in at.saturating_sub(6)..at {
                if self.below(4) == 0 {
                    let _ = write!(
                        inputs,
                        "s{before}: '${{{{parent.jobs.s{before}.outputs.o}}}}', "
                    );
                }
            }
            let takes = self.below(90) + 10;
            let _ = write!(
                text,
                "  s{at}:\n    command: >-\n      echo $MLFLOW_RUN_ID begins >> {effects}; sleep 0.{takes:03};\n      \
                 echo s{at} > ${{{{outputs.o}}}}/a.txt; echo done; echo $MLFLOW_RUN_ID ends >> {effects}\n    \
                 environment: {{image: python}}\n    inputs: {{{inputs}}}\n    outputs: {{o: }}\n"
            );
        }
        text
    }
}

fn workers(aml: &Aml) -> Vec<Pid> {
    let processes = aml.processes().into_iter();
    let workers = processes.filter(|(_, line)| line.starts_with("aml worker"));
    workers.map(|(pid, _)| pid).collect()
}

fn status(aml: &Aml, pipeline: &str) -> String {
    let run = aml.json(format!("run show {pipeline}"));
    run["status"].as_str().expect("a status").to_owned()
}

/// Kills whoever works for the pipeline at moments made by chance, until it has ended or there were
/// enough; how often.
fn disturb(aml: &Aml, chance: &mut Chance, pipeline: &str, most: u32) -> u32 {
    let mut killed = 0;
    // To ask is what starts the next worker.
    while status(aml, pipeline) == "Running" && killed < most {
        std::thread::sleep(Duration::from_millis(chance.below(LIFE)));
        for worker in workers(aml) {
            killed += u32::from(kill(worker, Signal::SIGKILL).is_ok());
        }
    }
    killed
}

fn check(aml: &Aml, pipeline: &str) {
    let shown = || aml.ok(format!("job show -n {pipeline}"));
    assert_eq!(status(aml, pipeline), "Completed", "{}", shown());
    let mut effects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in aml.read("effects").lines() {
        let (run, what) = line.split_once(' ').expect("a run and what it did");
        let of_it = effects.entry(run.to_owned()).or_default();
        of_it.push(what.to_owned());
    }
    for at in 0..STEPS {
        let run = format!("{pipeline}-s{at}");
        assert_eq!(effects[&run], ["begins", "ends"], "{run}\n{}", shown());
        assert_eq!(aml.ok(format!("run logs {run}")), "done\n", "{run}");
    }
    let out = format!("job download -n {pipeline}-s49 --output-name o -p out-{pipeline}");
    aml.ok(out);
    let made = aml.read(&format!("out-{pipeline}/named-outputs/o/a.txt"));
    assert_eq!(made, "s49\n");
}

#[test]
fn a_pipeline_completes_however_often_its_worker_is_killed() {
    let seed = std::env::var("AML_SEED").ok();
    let seed: u64 = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("seed {seed}");
    let aml = Aml::local();
    let aml = &aml.within_seconds(120);
    let mut chance = Chance(seed * 7919);
    aml.ok("workspace create -n ws");
    // The environment, which takes longer to make than a worker lives.
    aml.write(
        "pipeline.yml",
        "type: pipeline\nsettings: {default_compute: azureml:serverless}\njobs: {a: {command: ls, environment: {image: python}}}",
    );
    aml.ok("job create -f pipeline.yml --stream -o none");
    let mut kills = 0;
    for number in 0.. {
        let pipeline = format!("p{number}");
        aml.write("effects", "");
        aml.write("pipeline.yml", chance.pipeline(aml));
        aml.ok(format!("job create -f pipeline.yml -n {pipeline} -o none"));
        kills += disturb(aml, &mut chance, &pipeline, KILLS - kills);
        aml.ok(format!("job stream -n {pipeline}"));
        check(aml, &pipeline);
        if kills >= KILLS {
            break;
        }
    }
    eventually("all but the worker has ended", 20, || {
        let left = aml.processes();
        let works = |line: &str| {
            ["aml worker", "aml supervise"]
                .iter()
                .any(|own| line.starts_with(own))
        };
        let other = left.iter().any(|(_, line)| !works(line));
        (!other && aml.supervisors().is_empty()).then_some(())
    });
    let work = aml.state().join("work/local");
    assert!(!work.join("ws").exists(), "folders of runs stayed behind");
}
