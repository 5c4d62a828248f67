//! What a model in MLflow format was made with, as a conda file that can be scored in.

use serde_json::{Value, json};

/// What reads the data and the model.
const NEEDED: [&str; 2] = ["mlflow", "pandas"];
/// What models of this Python and before were made with is not compatible with later versions of
/// these, which they do not name.
const OLD_PYTHON: u32 = 8;
const CAPS: [(&str, &str); 3] = [
    ("numpy", "numpy<1.25"),
    ("pandas", "pandas<2"),
    ("setuptools", "setuptools<80"),
];

/// The model's own conda file, else its requirements, with what is missing.
pub fn described(conda: &str, requirements: &str) -> Value {
    let conda: Value = serde_saphyr::from_str(conda).unwrap_or_default();
    let mut packages: Vec<String> = Vec::new();
    let mut pip: Vec<String> = Vec::new();
    match conda["dependencies"].as_array() {
        Some(dependencies) => {
            for one in dependencies {
                packages.extend(one.as_str().map(str::to_owned));
                let listed = one["pip"].as_array().into_iter().flatten();
                for line in listed.filter_map(Value::as_str) {
                    match line.trim_start().strip_prefix("-r") {
                        // The list that lies beside it; there is no other one.
                        Some(_) => pip.extend(lines_of(requirements)),
                        None => pip.push(line.to_owned()),
                    }
                }
            }
        }
        None => pip.extend(lines_of(requirements)),
    }
    let old = packages.iter().any(|package| is_old_python(package));
    let named = |package: &str, pip: &[String]| {
        let mut all = packages.iter().chain(pip);
        all.any(|line| name_of(line).eq_ignore_ascii_case(package))
    };
    for (package, capped) in CAPS {
        if old && !named(package, &pip) {
            pip.push(capped.to_owned());
        }
    }
    for package in NEEDED {
        if !named(package, &pip) {
            pip.push(package.to_owned());
        }
    }
    let mut dependencies: Vec<Value> = packages.into_iter().map(Value::from).collect();
    dependencies.push(json!({"pip": pip}));
    json!({"name": "mlflow-env", "dependencies": dependencies})
}

fn lines_of(requirements: &str) -> impl Iterator<Item = String> {
    let lines = requirements.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned)
}

fn name_of(line: &str) -> &str {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
    &line[..end.unwrap_or(line.len())]
}

/// Whether a conda package is a Python of long ago, such as `python=3.8.5`.
fn is_old_python(package: &str) -> bool {
    let Some(version) = package.strip_prefix("python") else {
        return false;
    };
    let version = version.trim_start_matches(['=', ' ', '<', '>', '~']);
    let mut parts = version.split('.');
    let minor = parts.nth(1).and_then(|minor| minor.parse::<u32>().ok());
    version.starts_with("3.") && minor.is_some_and(|minor| minor <= OLD_PYTHON)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::described;

    #[test]
    fn an_old_model_gets_what_was_there_in_its_time() {
        let conda = "dependencies:\n- python=3.8.5\n- pip\n- pip:\n  - mlflow\n  - pandas==1.4\n";
        assert_eq!(
            described(conda, "ignored")["dependencies"],
            json!([
                "python=3.8.5",
                "pip",
                {"pip": ["mlflow", "pandas==1.4", "numpy<1.25", "setuptools<80"]}
            ])
        );
    }

    #[test]
    fn a_conda_file_may_name_the_requirements_beside_it() {
        let conda = "dependencies:\n- python=3.11\n- pip:\n  - -r requirements.txt\n  - mlflow\n";
        assert_eq!(
            described(conda, "numpy==2.3.1\n")["dependencies"],
            json!(["python=3.11", {"pip": ["numpy==2.3.1", "mlflow", "pandas"]}])
        );
    }

    #[test]
    fn without_a_conda_file_the_requirements_count() {
        let requirements = "# made by a model\nmlflow-skinny==2.9\nscikit-learn==1.5.0\n";
        assert_eq!(
            described("", requirements)["dependencies"],
            json!([{"pip": ["mlflow-skinny==2.9", "scikit-learn==1.5.0", "mlflow", "pandas"]}])
        );
    }
}
