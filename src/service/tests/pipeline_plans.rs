//! What a plan says is what happens: by hand, and for pipelines and edits made by chance.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    pipelines::{pipeline, step},
    support::{Bench, ended},
};
use api::{
    files::{CreateTree, Tree},
    pipelines::{ListSteps, PipelineStep, PlanPipeline, PlannedStep},
    runs::{DeleteRun, RunStatus},
    work::Outcome,
};

/// Step → the run whose outputs it has; none when it runs.
type Course = BTreeMap<String, Option<String>>;

impl Bench {
    async fn plan(&self, definition: &Value) -> Vec<PlannedStep> {
        let job = pipeline("thought", definition.clone());
        self.ask(PlanPipeline { job }).await.unwrap()
    }

    async fn planned(&self, definition: &Value) -> Course {
        let planned = self.plan(definition).await.into_iter();
        planned.map(|step| (step.name, step.reuses)).collect()
    }

    /// Creates a pipeline and completes its steps, but for one that `fails`.
    async fn executed(&self, name: &str, definition: &Value, fails: &str) -> Course {
        self.pipeline(name, definition.clone()).await.unwrap();
        loop {
            let orders = self.sync("w", 99, &[]).await;
            if orders.take.is_empty() {
                break;
            }
            for taken in orders.take {
                let failed = taken.run.ends_with(fails) && !fails.is_empty();
                let outcome = if failed {
                    Outcome::Failed
                } else {
                    Outcome::Completed
                };
                self.report("w", &taken.run, ended(outcome)).await.unwrap();
            }
        }
        assert!(self.run(name).await.status.ended(), "{name}");
        let list = ListSteps {
            workspace: "ws".to_owned(),
            run: name.to_owned(),
        };
        let mut course = Course::new();
        flatten(&self.ask(list).await.unwrap(), "", &mut course);
        course
    }
}

/// The steps that have begun.
fn flatten(steps: &[PipelineStep], at: &str, into: &mut Course) {
    for step in steps {
        let path = format!("{at}{}", step.name);
        if matches!(step.kind.as_str(), "pipeline" | "parallel_for") {
            flatten(&step.steps, &format!("{path}."), into);
        } else if step.run.is_some() {
            into.insert(path, step.reuses.clone());
        }
    }
}

fn changes(step: &PlannedStep) -> Vec<String> {
    let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
    let changes = step.changes.iter();
    changes
        .map(|change| {
            format!(
                "{}: {} → {}",
                change.what,
                text(&change.old),
                text(&change.new)
            )
        })
        .collect()
}

#[tokio::test]
async fn a_plan_names_the_steps_whose_outputs_go_into_a_pipeline_and_out_of_it() {
    let bench = Bench::new().await;
    let mut fit = step(&[]);
    fit["inputs"] = json!({"data": "${{parent.inputs.data}}"});
    fit["outputs"]["o"] = json!("${{parent.outputs.made}}");
    let inner = json!({
        "type": "pipeline", "name": "inner", "inputs": {"data": {"type": "uri_folder"}},
        "outputs": {"made": {"type": "uri_folder"}}, "jobs": {"fit": fit},
    });
    let mut last = step(&[]);
    last["inputs"] = json!({"made": "${{parent.jobs.train.outputs.made}}"});
    let train = json!({
        "type": "pipeline", "component": inner, "inputs": {"data": "${{parent.jobs.prep.outputs.o}}"},
    });
    let mut definition = json!({"jobs": {"prep": step(&[]), "train": train, "last": last}});
    bench.executed("p1", &definition, "").await;
    definition["jobs"]["prep"]["command"] = json!("echo other");
    let plan = bench.plan(&definition).await;
    let told: Vec<_> = plan
        .iter()
        .map(|step| (step.name.as_str(), changes(step)))
        .collect();
    let from = |input: &str, run: &str, output: &str, step: &str| {
        vec![format!(
            "input {input}: azureml://jobs/{run}/outputs/o (uri_folder, ro_mount) → \
             the output `{output}` of the step `{step}`, which runs"
        )]
    };
    assert_eq!(told[1], ("train.fit", from("data", "p1-prep", "o", "prep")));
    assert_eq!(
        told[2],
        ("last", from("made", "p1-train-fit", "o", "train.fit"))
    );
}

#[tokio::test]
async fn a_plan_says_what_runs_and_what_has_changed() {
    let bench = Bench::new().await;
    let mut train = step(&["prep"]);
    train["inputs"]["rate"] = json!("${{parent.inputs.rate}}");
    let other = step(&[]);
    let mut definition = json!({
        "inputs": {"rate": 0.1},
        "jobs": {"prep": step(&[]), "train": train, "eval": step(&["train"]), "other": other},
    });
    definition["jobs"]["other"]["command"] = json!("echo other");
    let plan = bench.plan(&definition).await;
    assert_eq!(plan.len(), 4);
    assert_eq!(
        plan[0].because.as_deref(),
        Some("it has not run in this experiment")
    );

    bench.executed("p1", &definition, "").await;
    let plan = bench.plan(&definition).await;
    let reused: Vec<_> = plan
        .iter()
        .map(|step| step.reuses.as_deref().unwrap())
        .collect();
    assert_eq!(reused, ["p1-prep", "p1-other", "p1-train", "p1-eval"]);

    definition["inputs"]["rate"] = json!(0.5);
    let plan = bench.plan(&definition).await;
    assert_eq!(plan[0].reuses.as_deref(), Some("p1-prep"));
    assert_eq!(plan[2].name, "train");
    assert_eq!(plan[2].compared_with.as_deref(), Some("p1-train"));
    assert_eq!(changes(&plan[2]), ["input rate: 0.1 → 0.5"]);
    let from = "input train: azureml://jobs/p1-train/outputs/o (uri_folder, ro_mount) → \
                the output `o` of the step `train`, which runs";
    assert_eq!(changes(&plan[3]), [from]);

    // What has run once is not run again, whichever pipeline it was in.
    bench.executed("p2", &definition, "").await;
    definition["inputs"]["rate"] = json!(0.1);
    let course = bench.executed("p3", &definition, "").await;
    assert_eq!(course["eval"].as_deref(), Some("p1-eval"));
    let reused = bench.run("p3-eval").await;
    assert_eq!(reused.status, RunStatus::Completed);
    let described = reused.job.unwrap().described.unwrap();
    assert_eq!(
        described.outputs["o"].path,
        "azureml://jobs/p1-eval/outputs/o"
    );

    let delete = DeleteRun {
        workspace: "ws".to_owned(),
        run: "p1-train".to_owned(),
    };
    bench.ask(delete).await.unwrap();
    let course = bench.planned(&definition).await;
    assert_eq!(course["train"], None);
    assert_eq!(course["eval"], None);
    definition["settings"] = json!({"default_compute": "x", "force_rerun": true});
    let plan = bench.plan(&definition).await;
    assert!(plan.iter().all(|step| step.reuses.is_none()));
    assert_eq!(
        plan[0].because.as_deref(),
        Some("settings.force_rerun is true")
    );
}

#[tokio::test]
async fn other_code_and_failed_runs_are_told() {
    let bench = Bench::new().await;
    let tree = CreateTree {
        workspace: "ws".to_owned(),
        tree: Tree::default(),
    };
    let tree = bench.ask(tree).await.unwrap();
    let mut definition = json!({"jobs": {"a": step(&[])}});
    bench.executed("p1", &definition, "-a").await;
    let plan = bench.plan(&definition).await;
    assert_eq!(
        plan[0].because.as_deref(),
        Some("its last run p1-a is Failed")
    );
    bench.executed("p2", &definition, "").await;
    assert_eq!(
        bench.planned(&definition).await["a"].as_deref(),
        Some("p2-a")
    );
    let code = api::assets::CreateAsset {
        workspace: "ws".to_owned(),
        kind: api::assets::AssetKind::Code,
        name: Some("code".to_owned()),
        version: None,
        spec: [("path".to_owned(), json!("src"))].into_iter().collect(),
        description: None,
        tags: [].into(),
        properties: [].into(),
        files: Some(tree.hash),
        labels: Vec::new(),
    };
    bench.ask(code).await.unwrap();
    definition["jobs"]["a"]["code"] = json!("azureml:code:1");
    definition["jobs"]["a"]["environment_variables"] = json!({"V": 1});
    let plan = bench.plan(&definition).await;
    let expected = [
        format!("code: - → {}", tree.hash.hex()),
        "variable V: - → 1".to_owned(),
    ];
    assert_eq!(changes(&plan[0]), expected);
}

#[tokio::test]
async fn what_a_later_run_may_have_overwritten_is_not_reused() {
    let bench = Bench::new().await;
    let store = "azureml://datastores/workspaceblobstore/paths";
    let mut definition = json!({"jobs": {"a": step(&[])}});
    definition["jobs"]["a"]["outputs"]["o"] = json!({"path": format!("{store}/${{{{name}}}}/")});
    bench.executed("p1", &definition, "").await;
    let course = bench.planned(&definition).await;
    assert_eq!(course["a"].as_deref(), Some("p1-a"));
    definition["jobs"]["a"]["outputs"]["o"] = json!({"path": format!("{store}/fixed/")});
    bench.executed("p2", &definition, "").await;
    let plan = bench.plan(&definition).await;
    assert_eq!(plan[0].reuses, None);
    let because = plan[0].because.as_deref().unwrap();
    assert!(because.starts_with("its output `o` goes to "), "{because}");
    assert_eq!(bench.executed("p3", &definition, "").await["a"], None);
}

/// Numbers that look like chance and are the same with every test.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap_or_default()
    }

    fn one_of<'a>(&mut self, names: &'a [String]) -> &'a String {
        &names[self.below(names.len())]
    }

    fn command(&mut self) -> Value {
        json!(format!("echo {}", self.below(3)))
    }

    /// A step that needs some of those before it.
    fn step(&mut self, before: &[String]) -> Value {
        let needs = before.iter().map(String::as_str);
        let needs: Vec<&str> = needs.filter(|_| self.below(3) == 0).collect();
        let mut made = step(&needs);
        made["command"] = self.command();
        if self.below(3) == 0 {
            made["inputs"]["rate"] = json!("${{parent.inputs.rate}}");
        }
        made
    }

    fn steps(&mut self, names: &[String]) -> Map<String, Value> {
        let mut steps = Map::new();
        for (at, name) in names.iter().enumerate() {
            steps.insert(name.clone(), self.step(&names[..at]));
        }
        steps
    }

    /// Some steps, a pipeline among them, two of which one runs, a loop, and what needs all of them.
    fn pipeline(&mut self) -> Value {
        let plain: Vec<String> = (0..2 + self.below(6)).map(|at| format!("a{at}")).collect();
        let mut jobs = self.steps(&plain);
        let inner = self.steps(&["x".to_owned(), "y".to_owned()]);
        let mut inner = json!({
            "type": "pipeline", "name": "inner", "jobs": inner,
            "inputs": {"rate": {"type": "number"}, "data": {"type": "uri_folder", "optional": true}},
            "outputs": {"made": {"type": "uri_folder"}},
        });
        inner["jobs"]["y"]["outputs"]["o"] = json!("${{parent.outputs.made}}");
        inner["jobs"]["x"]["inputs"]["data"] = json!("${{parent.inputs.data}}");
        let mut given = json!({"rate": "${{parent.inputs.rate}}"});
        if self.below(2) == 0 {
            given["data"] = json!("${{parent.jobs.a0.outputs.o}}");
        }
        let mut add = |name: &str, step: Value| jobs.insert(name.to_owned(), step);
        add(
            "in",
            json!({"type": "pipeline", "component": inner, "inputs": given}),
        );
        add("yes", self.step(&plain));
        add("no", self.step(&plain));
        add(
            "pick",
            json!({
                "type": "if_else", "condition": self.below(2) == 0,
                "true_block": "${{parent.jobs.yes}}", "false_block": "${{parent.jobs.no}}",
            }),
        );
        let mut body = self.step(&plain);
        body["command"] = json!("echo ${{inputs.k}}");
        add("body", body);
        let items: Vec<Value> = (0..=self.below(3)).map(|k| json!({"k": k})).collect();
        add(
            "each",
            json!({
                "type": "parallel_for", "body": "${{parent.jobs.body}}", "items": items,
            }),
        );
        let mut last = step(&[plain.last().expect("a step")]);
        last["inputs"]["made"] = json!("${{parent.jobs.in.outputs.made}}");
        last["inputs"]["all"] = json!("${{parent.jobs.each.outputs.o}}");
        add("last", last);
        json!({"inputs": {"rate": 0.1}, "jobs": jobs})
    }

    fn edit(&mut self, definition: &mut Value) {
        let Value::Object(jobs) = &mut definition["jobs"] else {
            return;
        };
        let commands = jobs
            .iter()
            .filter(|(_, step)| step.get("command").is_some());
        let commands: Vec<String> = commands.map(|(name, _)| name.clone()).collect();
        let name = self.one_of(&commands);
        match self.below(10) {
            0 => definition["inputs"]["rate"] = json!([0.1, 0.2, 0.3][self.below(3)]),
            1 if name != "body" => jobs[name]["command"] = self.command(),
            2 => {
                let inner = ["x", "y"][self.below(2)];
                jobs["in"]["component"]["jobs"][inner]["command"] = self.command();
            }
            3 => jobs[name]["environment_variables"] = json!({"V": self.below(2)}),
            4 => jobs[name]["inputs"]["k"] = json!(self.below(2)),
            5 => jobs["pick"]["condition"] = json!(self.below(2) == 0),
            6 => {
                let items: Vec<Value> = (0..=self.below(4)).map(|k| json!({"k": k})).collect();
                jobs["each"]["items"] = json!(items);
            }
            // Nobody needs what is new, and it needs what it likes.
            7 => {
                let plain: Vec<String> = commands
                    .into_iter()
                    .filter(|name| name.starts_with('a'))
                    .collect();
                let made = self.step(&plain);
                jobs.insert(format!("b{}", self.below(3)), made);
            }
            8 => drop(jobs.shift_remove(&format!("b{}", self.below(3)))),
            _ => {
                let force = json!({"default_compute": "x", "force_rerun": self.below(4) == 0});
                definition["settings"] = force;
            }
        }
    }
}

/// One pipeline and what becomes of it in several rounds of edits, failures and deletions.
async fn plans_of(seed: u64) {
    let bench = Bench::new().await;
    let mut chance = Chance(seed * 7919);
    let mut definition = chance.pipeline();
    let mut made: Vec<String> = Vec::new();
    for round in 0..8 {
        let planned = bench.planned(&definition).await;
        let fails = ["", "", "", "-a1", "-in-x", "-each-body_0"][chance.below(6)];
        let name = format!("p{seed}r{round}");
        let executed = bench.executed(&name, &definition, fails).await;
        for (step, reuses) in &executed {
            let plan = planned.get(step);
            assert_eq!(plan, Some(reuses), "{name}, step {step}\n{definition:#}");
        }
        if fails.is_empty() {
            assert_eq!(planned.len(), executed.len(), "{name}\n{definition:#}");
        }
        made.extend(
            executed
                .keys()
                .map(|step| format!("{name}-{}", step.replace('.', "-"))),
        );
        if chance.below(3) == 0 {
            let run = chance.one_of(&made).clone();
            let workspace = "ws".to_owned();
            // Some were deleted before.
            let _ = bench.ask(DeleteRun { workspace, run }).await;
        }
        for _ in 0..chance.below(3) {
            chance.edit(&mut definition);
        }
    }
}

#[tokio::test]
async fn what_a_plan_says_is_what_happens() {
    for seed in 1..=8 {
        plans_of(seed).await;
    }
}
