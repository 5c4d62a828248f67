//! MLflow's own REST tests against `aml serve`, for who has them or can fetch them: `docs/mlflow.md`
//! says how.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{components, root};

/// Names the folder with MLflow's `tests`, which are no part of this repository, or says `fetch`.
const FOLDER: &str = "AML_MLFLOW_SUITE";
const FETCH: &str = "fetch";
const REPOSITORY: &str = "https://github.com/mlflow/mlflow";
/// Of the version that is installed for them.
const TAG: &str = "v3.12.0";

/// The version that the tests of 29 April 2026 fit, and what they need besides.
const PACKAGES: [&str; 8] = [
    "mlflow==3.12.0",
    "sqlalchemy<2.1",
    "pytest",
    "pytest-timeout",
    "pytest-asyncio",
    "psutil",
    "flask_wtf",
    "httpx",
];
const FILES: [&str; 2] = [
    "tests/tracking/test_rest_tracking.py",
    "tests/tracking/test_model_registry.py",
];

#[derive(serde::Deserialize)]
struct Outcome {
    outcome: String,
    #[serde(default)]
    why: String,
}

/// Each line of the file is the beginning of a test's name, two spaces and the reason.
fn exceptions() -> BTreeMap<String, String> {
    let text = include_str!("../../mlflow_suite/exceptions.txt");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (test, reason) = line.split_once("  ").expect("a test and a reason");
            (test.to_owned(), reason.trim().to_owned())
        })
        .collect()
}

/// The folder with MLflow's tests, fetched once.
fn fetched() -> Result<PathBuf, String> {
    let folder = components::folder().join(format!("mlflow-suite-{TAG}"));
    if folder.join(FILES[0]).is_file() {
        return Ok(folder);
    }
    let _ = std::fs::remove_dir_all(&folder);
    let place = folder.display().to_string();
    let clone = [
        "clone",
        "--quiet",
        "--depth",
        "1",
        "--filter=blob:none",
        "--sparse",
        "--branch",
        TAG,
        REPOSITORY,
        &place,
    ];
    git(&clone)?;
    git(&["-C", &place, "sparse-checkout", "set", "tests"])?;
    Ok(folder)
}

fn git(words: &[&str]) -> Result<(), String> {
    let output = Command::new("git").args(words).output();
    let output = output.map_err(|e| format!("git: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("MLflow's tests cannot be fetched: {}", text.trim()))
}

fn outcomes(tests: &Path) -> BTreeMap<String, Outcome> {
    let python = components::python_with(&PACKAGES).expect("the packages can be had");
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("outcomes.json");
    let aml = env!("CARGO_BIN_EXE_aml");
    let serve = format!(
        "env AML_HOME={{dir}}/state AML_CONFIG={{dir}}/config.toml {aml} serve --port {{port}}"
    );
    let ended = Command::new(python.join("python"))
        .args([
            "-m",
            "pytest",
            "-p",
            "external_server",
            "-o",
            "addopts=",
            "-p",
            "no:cacheprovider",
        ])
        .args(["--timeout", "120", "-q", "--tb=line", "-k", "not [file"])
        .args(FILES)
        .current_dir(tests)
        .env("PYTHONPATH", root().join("tests/mlflow_suite"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("MLFLOW_DISABLE_TELEMETRY", "true")
        .env("MLFLOW_SUITE_CMD", serve)
        .env("MLFLOW_SUITE_ROOT", "--artifact-root {root}")
        .env("MLFLOW_SUITE_JSON", &json)
        .status()
        .expect("pytest starts");
    let text = std::fs::read_to_string(&json)
        .unwrap_or_else(|e| panic!("no outcomes from pytest, which ended with {ended}: {e}"));
    serde_json::from_str(&text).expect("outcomes")
}

#[test]
fn mlflows_own_tests_pass() {
    let tests = match std::env::var_os(FOLDER) {
        None => {
            return components::skipped(&format!(
                "{FOLDER} neither names a folder with MLflow's tests nor is `{FETCH}`"
            ));
        }
        Some(word) if word == FETCH => match fetched() {
            Ok(folder) => folder,
            Err(why) => return components::skipped(&why),
        },
        Some(folder) => PathBuf::from(folder),
    };
    let excepted = exceptions();
    let except = |name: &str| excepted.keys().any(|test| name.starts_with(test.as_str()));
    let outcomes = outcomes(&tests);
    let (passed, other): (Vec<_>, Vec<_>) = outcomes
        .iter()
        .partition(|(_, found)| found.outcome == "passed");
    eprintln!(
        "{} of {} of MLflow's tests passed",
        passed.len(),
        outcomes.len()
    );
    let failed: Vec<String> = other
        .into_iter()
        .filter(|(name, found)| found.outcome == "failed" && !except(name))
        .map(|(name, found)| format!("{name}\n  {}", found.why))
        .collect();
    assert!(failed.is_empty(), "failed:\n{}", failed.join("\n"));
    let needless: Vec<&String> = excepted
        .keys()
        .filter(|test| {
            !outcomes
                .iter()
                .any(|(name, found)| name.starts_with(*test) && found.outcome != "passed")
        })
        .collect();
    assert!(
        needless.is_empty(),
        "exceptions that are none any more: {needless:?}"
    );
}
