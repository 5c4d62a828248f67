//! `--env`: what a requirements file, a conda file or the name of an environment means.

use std::{fs, io, path::Path};

use super::{
    conda,
    reference::{missing, nearest_sibling, unreadable},
    requirements,
};
use api::{Error, Result, environments::Environment, names};

/// Environments that ship with the tool: pinned sets that work together, by name.
const CURATED: &[(&str, &str)] = &[
    ("AutoML", include_str!("curated/automl.txt")),
    (
        "acpt-pytorch-2.8-cuda12.6",
        include_str!("curated/acpt-pytorch-2.8-cuda12.6.txt"),
    ),
    ("lightgbm-3.3", include_str!("curated/lightgbm-3.3.txt")),
    (
        "minimal-inference",
        include_str!("curated/minimal-inference.txt"),
    ),
    (
        "minimal-py312-inference",
        include_str!("curated/minimal-py312-inference.txt"),
    ),
    (
        "model-evaluation",
        include_str!("curated/model-evaluation.txt"),
    ),
    (
        "responsibleai-tabular",
        include_str!("curated/responsibleai-tabular.txt"),
    ),
    ("sklearn-1.5", include_str!("curated/sklearn-1.5.txt")),
    (
        "tensorflow-2.16-cuda12",
        include_str!("curated/tensorflow-2.16-cuda12.txt"),
    ),
];

/// Names for the machine as it is, without an environment of its own.
const HOST: [&str; 2] = ["host", "current"];

/// Reads what `text` names: a file relative to `folder` (`.yml` and `.yaml` are conda files, any
/// other is a requirements file), a curated environment such as `sklearn-1.5`, or `host`.
///
/// What cannot be reproduced is in the notes of the answer. A line that cannot be understood is an
/// error that says where.
pub fn load(text: &str, folder: &Path) -> Result<Environment> {
    if HOST.contains(&text) {
        return Ok(Environment::Host);
    }
    let path = folder.join(text);
    match fs::read_to_string(&path) {
        Ok(content) if is_yaml(&path) => return conda::parse(&content, text, &path),
        Ok(content) => {
            return Ok(Environment::Python {
                version: None,
                requirements: requirements::parse(&content, text, &path)?,
                notes: Vec::new(),
                name: text.to_owned(),
                path: None,
                conda: None,
                image: None,
            });
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(unreadable("environment file", text, &path, &e)),
    }
    match curated(text) {
        Some(environment) => Ok(environment),
        None => Err(unknown(text, &path)),
    }
}

/// The curated environments with their requirements.
pub fn curated_sets() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    CURATED
        .iter()
        .map(|(name, content)| (*name, lines(content)))
}

fn lines(content: &str) -> Vec<String> {
    let lines = content.lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// The names of the curated environments.
pub fn curated_names() -> impl Iterator<Item = &'static str> {
    CURATED.iter().map(|(name, _)| *name)
}

fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yml" || extension == "yaml")
}

/// A curated environment, also by the longer names that Azure ML has for it.
pub fn curated(text: &str) -> Option<Environment> {
    let name = short_name(text);
    let (name, content) = CURATED
        .iter()
        .find(|(curated, _)| curated.eq_ignore_ascii_case(name))?;
    Some(Environment::Python {
        version: python_of(name),
        requirements: lines(content),
        notes: Vec::new(),
        name: (*name).to_owned(),
        path: None,
        conda: None,
        image: None,
    })
}

/// The Python that a name asks for: 3.12 of `minimal-py312-inference`.
fn python_of(name: &str) -> Option<String> {
    let mut digits = name.split('-').filter_map(|word| word.strip_prefix("py3"));
    let minor = digits.find(|minor| !minor.is_empty() && minor.chars().all(|c| c.is_ascii_digit()));
    minor.map(|minor| format!("3.{minor}"))
}

/// A conda file that is kept without its folder, as an environment of this name.
pub fn of_conda(content: &str, name: &str) -> Result<Environment> {
    conda::parse_stored(content, name)
}

/// What stands for an image: the packages that its name promises, in a virtual environment.
pub fn of_image(image: &str, name: &str) -> Environment {
    let bare = image.split('@').next().unwrap_or(image);
    let last = bare.rsplit('/').next().unwrap_or(bare);
    let (word, tag) = last.split_once(':').unwrap_or((last, ""));
    let asked = word;
    let known = bare.contains("azureml/").then(|| {
        // `minimal-py312-inference` is `minimal-inference` with that Python.
        let word = if word.starts_with("minimal-") && word.ends_with("-inference") {
            "minimal-inference"
        } else {
            word
        };
        curated(word)
    });
    let version = (word == "python")
        .then(|| tag.split('-').next().unwrap_or_default())
        .filter(|tag| tag.starts_with('3'))
        .map(str::to_owned);
    match known.flatten() {
        Some(mut environment) => {
            if let Environment::Python {
                name: own, version, ..
            } = &mut environment
            {
                name.clone_into(own);
                *version = python_of(asked);
            }
            environment
        }
        None => Environment::Python {
            version,
            requirements: Vec::new(),
            notes: Vec::new(),
            name: name.to_owned(),
            path: None,
            conda: None,
            image: None,
        },
    }
}

/// What is said of an image once on each run that is in none, and kept with an environment, which does not
/// know of what it is for.
pub fn image_note(image: &str) -> String {
    format!(
        "The image {image} is run in a container only: without one the command is a process of this machine"
    )
}

/// `azureml:AzureML-sklearn-1.5@latest` and
/// `azureml://registries/azureml/environments/sklearn-1.5/labels/latest` are both `sklearn-1.5`.
fn short_name(text: &str) -> &str {
    if let Some((_, rest)) = text.split_once("/environments/") {
        return rest.split('/').next().unwrap_or(rest);
    }
    let name = text.strip_prefix("azureml:").unwrap_or(text);
    let name = name.split(['@', ':']).next().unwrap_or(name);
    name.strip_prefix("AzureML-").unwrap_or(name)
}

/// Says that a text names neither a file, which would be at `path`, nor an environment that is known.
fn unknown(text: &str, path: &Path) -> Error {
    if text.contains('/') || is_yaml(path) || path.extension().is_some_and(|e| e == "txt") {
        return missing("environment file", text, path);
    }
    let nearest = names::nearest(text, curated_names().chain(HOST));
    let file = nearest_sibling(path).filter(|_| nearest.is_none());
    let nearest = nearest.or(file.as_deref());
    let curated: Vec<&str> = curated_names().collect();
    Error::unknown("environment", text, "", nearest).hint(format!(
        "Name a requirements file, a conda file, `host`, or one of: {}",
        curated.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(environment: Environment) -> (Option<String>, Vec<String>, Vec<String>, String) {
        match environment {
            Environment::Python {
                version,
                requirements,
                notes,
                name,
                ..
            } => (version, requirements, notes, name),
            other => panic!("{other:?}"),
        }
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    #[test]
    fn every_curated_set_is_a_valid_requirements_file() {
        for (name, content) in CURATED {
            let lines = requirements::parse(content, name, Path::new(name)).unwrap();
            let (_, loaded, _, found) = python(load(name, Path::new("/nowhere")).unwrap());
            assert_eq!((&loaded, found.as_str()), (&lines, *name));
            assert!(!lines.is_empty());
        }
    }

    #[test]
    fn curated_environments_have_long_names_too() {
        for long in [
            "azureml:AzureML-sklearn-1.5@latest",
            "AzureML-sklearn-1.5",
            "azureml:sklearn-1.5:12",
            "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
        ] {
            let (_, _, _, name) = python(load(long, Path::new("/nowhere")).unwrap());
            assert_eq!(name, "sklearn-1.5", "{long}");
        }
    }

    #[test]
    fn names_say_which_python_is_asked_for() {
        for (image, version) in [
            (
                "mcr.microsoft.com/azureml/minimal-py312-inference:latest",
                Some("3.12"),
            ),
            (
                "mcr.microsoft.com/azureml/minimal-ubuntu20.04-py38-cpu-inference",
                Some("3.8"),
            ),
            ("mcr.microsoft.com/azureml/minimal-python-inference", None),
            ("python:3.10-slim", Some("3.10")),
        ] {
            let (found, ..) = python(of_image(image, "image"));
            assert_eq!(found.as_deref(), version, "{image}");
        }
        let curated = curated("minimal-py312-inference").unwrap();
        assert_eq!(python(curated).0.as_deref(), Some("3.12"));
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest() {
        let error = load("sklearn-15", Path::new("/nowhere")).unwrap_err();
        assert_eq!(error.hints[0], "Did you mean `sklearn-1.5`?");
        let error = load("requirements.txt", Path::new("/nowhere")).unwrap_err();
        assert_eq!(
            error.message,
            "There is no environment file `requirements.txt`"
        );
    }

    #[test]
    fn requirements_keep_their_order_and_lose_their_comments() {
        let folder = folder(&[
            (
                "requirements.txt",
                "# what train.py needs\nscikit-learn ~= 1.5.0   # pinned\n\nnumpy>=1.23,\\\n  <2\n-r more.txt\n",
            ),
            ("more.txt", "joblib[extra]==1.2 ; python_version < '3.12'\n"),
        ]);
        let (version, lines, notes, name) =
            python(load("requirements.txt", folder.path()).unwrap());
        assert_eq!(
            lines,
            [
                "scikit-learn ~= 1.5.0",
                "numpy>=1.23,  <2",
                "joblib[extra]==1.2 ; python_version < '3.12'"
            ]
        );
        assert_eq!((version, name.as_str()), (None, "requirements.txt"));
        assert!(notes.is_empty());
    }

    #[test]
    fn a_bad_requirement_is_named_with_file_and_line() {
        for (content, place, message) in [
            (
                "numpy\nscikit learn\n",
                "r.txt:2",
                "`scikit learn` is not a requirement",
            ),
            ("numpy=1.2\n", "r.txt:1", "`numpy=1.2` is not a requirement"),
            ("\n-e .\n", "r.txt:2", "`-e .` names a file of this machine"),
            (
                "./wheel.whl\n",
                "r.txt:1",
                "`./wheel.whl` names a file of this machine",
            ),
            (
                "numpy\n-r absent.txt\n",
                "r.txt:2",
                "There is no file `absent.txt`",
            ),
            (
                "--frobnicate\n",
                "r.txt:1",
                "`--frobnicate` is no option of a requirements file",
            ),
        ] {
            let folder = folder(&[("r.txt", content)]);
            let error = load("r.txt", folder.path()).unwrap_err();
            assert_eq!(error.target.as_deref(), Some(place), "{content:?}");
            assert_eq!(error.message, message);
        }
    }

    #[test]
    fn a_conda_file_becomes_requirements_and_says_what_is_left_out() {
        let folder = folder(&[(
            "conda.yml",
            "name: project\nchannels: [conda-forge]\ndependencies:\n  - python=3.10\n  - pip=23\n  \
             - pytorch=2.1\n  - conda-forge::lightgbm>=4,<5\n  - scipy=1.10.1=py310_0\n  - openjdk=11\n  \
             - pip:\n      - mlflow<2.22\n      - joblib\n",
        )]);
        let found = load("conda.yml", folder.path()).unwrap();
        let Environment::Python {
            conda: Some(conda), ..
        } = &found
        else {
            panic!("{found:?}");
        };
        assert_eq!(conda.left_out, ["openjdk"]);
        assert_eq!(conda.channels, ["conda-forge"]);
        assert_eq!(conda.packages[3], "conda-forge::lightgbm>=4,<5");
        assert_eq!(conda.stand_ins[0], "torch==2.1.*");
        let (version, lines, notes, _) = python(found);
        assert_eq!(version.as_deref(), Some("3.10"));
        assert_eq!(
            lines,
            [
                "torch==2.1.*",
                "lightgbm>=4,<5",
                "scipy==1.10.1",
                "mlflow<2.22",
                "joblib"
            ]
        );
        assert!(notes.is_empty());
    }

    #[test]
    fn a_bad_conda_file_is_named_with_file_and_line() {
        for (content, place) in [
            (
                "name: x\ndependencies:\n  - pip:\n      - numpy\n      - a b\n",
                "c.yml:5",
            ),
            ("dependencies:\n  - numpy\n  - '!'\n", "c.yml:3"),
            ("dependencies:\n  - npm:\n      - x\n", "c.yml:2"),
            ("name: x\ndependencies: 5\n", "c.yml:2"),
            ("name: [\n", "c.yml:1"),
            ("channels: []\n", "c.yml:1"),
        ] {
            let folder = folder(&[("c.yml", content)]);
            let error = load("c.yml", folder.path()).unwrap_err();
            let target = error.target.clone().unwrap_or_default();
            assert!(target.starts_with(place), "{content:?}: {error}");
        }
    }
}
