//! Installing what an environment is to have, with whatever makes it.

use std::path::Path;

use super::{
    Variables,
    build::{CHANNELS, Wanted},
    conda::{self, Tool},
    environment::NOTES,
    io_error,
    pins::{Pins, numbers},
    python::{self, Installer, Python},
    tool::{self, Outcome, Tools},
    write_whole,
};
use api::{Code, Error, Result, environments::Conda};

/// Where distributions keep the certificates they trust.
const SYSTEM_CERTIFICATES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// What older packages need of it, newer ones lack (`pkg_resources`).
const SETUPTOOLS: &str = "setuptools<81";
/// Lines of a failed build that are worth showing.
const SHOWN: usize = 20;

/// Whether virtual environments of this Python have setuptools from the beginning: those before 3.12.
fn has_setuptools(minor: &str) -> bool {
    numbers(minor) < [3, 12, 0]
}

impl Wanted<'_> {
    /// Makes a virtual environment with all of it.
    pub async fn install(
        &self,
        folder: &Path,
        python: &Python,
        installer: &Installer,
        tools: Tools<'_>,
    ) -> Result<()> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let target = path(folder);
        let executable = path(&python.executable);
        match installer {
            Installer::Uv(uv) => {
                let mut make = vec!["venv", "--no-project", "--python", &executable, &target];
                if has_setuptools(python.minor()) {
                    self.step(tools, uv, &make).await?;
                    let own = path(&folder.join("bin/python"));
                    let seed = [
                        "pip", "install", "--python", &own, "pip", SETUPTOOLS, "wheel",
                    ];
                    self.step(tools, uv, &seed).await?;
                } else {
                    make.push("--seed");
                    self.step(tools, uv, &make).await?;
                }
            }
            Installer::Pip => {
                self.step(tools, &python.program, &["-m", "venv", &target])
                    .await?;
            }
        }
        self.install_packages(folder, (python, self.requirements), installer, tools)
            .await
    }

    /// Installs requirements into an environment that is there.
    async fn install_packages(
        &self,
        folder: &Path,
        (python, requirements): (&Python, &[String]),
        installer: &Installer,
        tools: Tools<'_>,
    ) -> Result<()> {
        match installer {
            Installer::Uv(uv) => {
                let pins = Pins::of(requirements, python.minor());
                let notes = self.install_nearest(folder, python, pins, (uv, tools));
                let notes = notes.await?;
                self.compile_hooks(folder, python, tools).await?;
                write_whole(&folder.join(NOTES), notes.join("\n").as_bytes())
            }
            Installer::Pip => {
                let files = write_files(folder, requirements)?;
                let mut install = vec!["-m", "pip", "install", "--disable-pip-version-check"];
                install.push("--no-compile");
                install.extend(files.iter().map(String::as_str));
                self.step(tools, &folder.join("bin/python"), &install).await
            }
        }
    }

    /// Lets conda make the environment, and installs what is no package of conda's; its Python's version.
    pub async fn install_by_conda(
        &self,
        folder: &Path,
        (tool, conda): (&Tool, &Conda),
        own: &Path,
        tools: Tools<'_>,
    ) -> Result<String> {
        let outcome = tool.create(folder, self.version, conda, tools).await?;
        let python = if outcome.status.success() {
            python::probe(&folder.join("bin/python"), tools.variables).await
        } else {
            None
        };
        let Some(python) = python else {
            if conda::is_unreached(&outcome) {
                let name = self.name;
                let said = format!("{} could not reach the channels of {name}", tool.name);
                return Err(Error::new(Code::Unavailable, said).at(CHANNELS));
            }
            return Err(self.failed(&outcome).hint(format!(
                "{} was asked because PyPI has not all of it; conda = \"never\" below [environments] in config.toml leaves that out",
                tool.name
            )));
        };
        let others = conda.others(self.requirements);
        if !others.is_empty() {
            let installer = python::installer(own, &python, tools).await?;
            self.install_packages(folder, (&python, &others), &installer, tools)
                .await?;
        }
        conda::note_prefixed(folder).await?;
        Ok(python.version)
    }

    /// Installs the requirements. A pinned version that has no wheel for this Python gives way to the
    /// nearest that has; says so.
    async fn install_nearest(
        &self,
        folder: &Path,
        python: &Python,
        mut pins: Pins,
        (uv, tools): (&Path, Tools<'_>),
    ) -> Result<Vec<String>> {
        let interpreter = folder.join("bin/python").to_string_lossy().into_owned();
        loop {
            let files = write_files(folder, &pins.lines())?;
            let mut install = vec!["pip", "install", "--python", &interpreter];
            let not_built = pins.not_built().flat_map(|name| ["--only-binary", name]);
            install.extend(not_built);
            install.extend(files.iter().map(String::as_str));
            let outcome = tools
                .run(uv, &install)
                .await
                .map_err(|e| io_error("run", uv, &e))?;
            if outcome.status.success() {
                return Ok(pins.notes(python.minor()));
            }
            let Some(refused) = pins.refused(&outcome.output) else {
                if pins.follow(&outcome.output) {
                    continue;
                }
                return Err(self.failed(&outcome));
            };
            let mut found = None;
            for wanted in pins.wanted(refused) {
                let file = folder.join("wanted.txt");
                write_whole(&file, wanted.as_bytes())?;
                let file = file.to_string_lossy();
                let mut nearest = vec!["pip", "compile", "--quiet", "--python", &interpreter];
                nearest.extend(["--no-build", "--resolution"]);
                nearest.extend(if refused.by_needs {
                    &["lowest-direct"][..]
                } else {
                    &["lowest", "--no-deps"][..]
                });
                nearest.extend(["--no-header", "--no-annotate", &file]);
                let outcome = tools
                    .run(uv, &nearest)
                    .await
                    .map_err(|e| io_error("run", uv, &e))?;
                if outcome.status.success() {
                    found = pins.found(refused, &outcome.output).map(str::to_owned);
                    break;
                }
            }
            pins.settle(refused.pin, found.as_deref());
        }
    }

    /// Compiles what each Python imports that starts, which the first of each run would add else.
    async fn compile_hooks(&self, folder: &Path, python: &Python, tools: Tools<'_>) -> Result<()> {
        let hooks = format!("lib/python{}/site-packages/_distutils_hack", python.minor());
        let hooks = folder.join(hooks);
        if !hooks.exists() {
            return Ok(());
        }
        let compile = ["-m", "compileall", "-q", &hooks.to_string_lossy()];
        self.step(tools, &folder.join("bin/python"), &compile).await
    }

    async fn step(&self, tools: Tools<'_>, program: &Path, arguments: &[&str]) -> Result<()> {
        let outcome = tools
            .run(program, arguments)
            .await
            .map_err(|e| io_error("run", program, &e))?;
        if outcome.status.success() {
            return Ok(());
        }
        Err(self.failed(&outcome))
    }

    fn failed(&self, outcome: &Outcome) -> Error {
        let said: Vec<&str> = outcome.output.lines().filter_map(tool::told).collect();
        // What it was doing says nothing of why it failed, unless it said nothing else.
        let lines = match &said[..] {
            [] => outcome.output.lines().collect(),
            _ => said,
        };
        let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        let error = Error::invalid(format!(
            "The environment {} could not be built:\n{shown}",
            self.name
        ));
        let offline = [
            "dns error",
            "Failed to fetch",
            "error sending request",
            "Temporary failure in name resolution",
        ];
        if offline.iter().any(|sign| outcome.output.contains(sign)) {
            return error.hint("The package index cannot be reached: check the network, HTTPS_PROXY or PIP_INDEX_URL");
        }
        error
    }
}

/// Writes the requirements into the environment; the arguments that name them.
fn write_files(folder: &Path, lines: &[String]) -> Result<Vec<String>> {
    let mut constraints = String::new();
    let mut requirements = String::new();
    for line in lines {
        let (file, line) = match line.strip_prefix("-c ") {
            Some(line) => (&mut constraints, line),
            None => (&mut requirements, line.as_str()),
        };
        file.push_str(line);
        file.push('\n');
    }
    let mut arguments = Vec::new();
    for (option, name, content) in [
        ("-r", "requirements.txt", requirements),
        ("-c", "constraints.txt", constraints),
    ] {
        // The installer warns of constraints that are none.
        if option == "-c" && content.is_empty() {
            continue;
        }
        let path = folder.join(name);
        write_whole(&path, content.as_bytes())?;
        arguments.extend([option.to_owned(), path.to_string_lossy().into_owned()]);
    }
    Ok(arguments)
}

/// uv reads other variables than pip; what the machine says to pip holds for both.
pub fn installer_variables(machine: &Variables) -> Variables {
    let mut variables = machine.clone();
    for (pip, uv) in [
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
        ("PIP_CERT", "SSL_CERT_FILE"),
    ] {
        if let Some(value) = machine.get(pip) {
            variables
                .entry(uv.to_owned())
                .or_insert_with(|| value.clone());
        }
    }
    // A link into the installer's cache would hand on what somebody writes into a file.
    variables.insert("UV_LINK_MODE".to_owned(), "copy".to_owned());
    // uv has certificates of its own and would not know a company's proxy; pip uses the machine's.
    if SYSTEM_CERTIFICATES
        .iter()
        .any(|file| Path::new(file).exists())
    {
        variables
            .entry("UV_SYSTEM_CERTS".to_owned())
            .or_insert_with(|| "true".to_owned());
    }
    variables
}
