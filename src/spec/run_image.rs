//! What the image of a run in a container is built from.

use std::{fmt::Write as _, path::Path};

use super::{
    image::{PYTHON, save},
    words::quoted,
};
use api::{
    Result,
    deployments::ImageBase,
    environments::{Conda, Environment},
};

/// Where the packages of a conda file are, which come before those of the image.
const PLACE: &str = "/azureml-envs/aml";
/// What tells the builder of package indexes, while it builds.
pub const INDEX: [&str; 3] = ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST"];

/// Writes a Dockerfile for an environment, and what it copies; not where the image is another one as it
/// is, or is built by a Dockerfile of its own.
pub fn write(folder: &Path, environment: &Environment) -> Result<bool> {
    let Environment::Python {
        version,
        requirements,
        conda,
        image,
        ..
    } = environment
    else {
        return Ok(false);
    };
    let base = image.as_ref().map(|image| &image.base);
    let mut install = String::new();
    let mut text = match (base, conda) {
        (Some(ImageBase::Build { .. }), _) | (Some(ImageBase::Named(_)), None) => {
            return Ok(false);
        }
        (Some(ImageBase::Named(image)), Some(conda)) => {
            install = on_top(version.as_deref(), requirements, conda);
            format!("FROM {image}\nUSER 0\n")
        }
        (None, _) => {
            let version = version.as_deref().unwrap_or(PYTHON);
            format!("FROM docker.io/library/python:{version}-slim\n")
        }
    };
    for name in INDEX {
        let _ = writeln!(text, "ARG {name}");
    }
    save(
        &folder.join("requirements.txt"),
        &(requirements.join("\n") + "\n"),
    )?;
    text += "COPY requirements.txt /tmp/aml/\n";
    if install.is_empty() {
        text += "RUN pip install --no-cache-dir -r /tmp/aml/requirements.txt\n";
    } else {
        save(&folder.join("install.sh"), &install)?;
        let _ = write!(
            text,
            "COPY install.sh /tmp/aml/\nRUN sh /tmp/aml/install.sh\nENV PATH={PLACE}/bin:$PATH\n"
        );
    }
    save(&folder.join(".dockerignore"), "Dockerfile\n")?;
    save(&folder.join("Dockerfile"), &text)?;
    Ok(true)
}

/// What installs the packages of a conda file in an image: by its conda if it has one, else by its Python.
fn on_top(version: Option<&str>, requirements: &[String], conda: &Conda) -> String {
    let mut create = String::new();
    for channel in &conda.channels {
        let _ = match channel.as_str() {
            "nodefaults" => write!(create, " --override-channels"),
            channel => write!(create, " --channel {}", quoted(channel)),
        };
    }
    for package in conda.specs(version) {
        let _ = write!(create, " {}", quoted(&package));
    }
    let others = conda.others(requirements);
    let mut pip = String::new();
    for line in &others {
        let _ = writeln!(pip, "{line}");
    }
    format!(
        "set -e\n\
         cat > /tmp/aml/pip.txt <<'END'\n{pip}END\n\
         for conda in micromamba mamba conda; do\n  \
           if command -v $conda >/dev/null; then\n    \
             CONDA_ALWAYS_YES=true MAMBA_ALWAYS_YES=true $conda create --prefix {PLACE}{create}\n    \
             exec {PLACE}/bin/python -m pip install --no-cache-dir -r /tmp/aml/pip.txt\n  \
           fi\n\
         done\n\
         if python3 -m venv --system-site-packages {PLACE} 2>/dev/null; then\n  \
           exec {PLACE}/bin/python -m pip install --no-cache-dir -r /tmp/aml/requirements.txt\n\
         fi\n\
         export PIP_BREAK_SYSTEM_PACKAGES=1\n\
         exec python3 -m pip install --no-cache-dir -r /tmp/aml/requirements.txt\n"
    )
}
