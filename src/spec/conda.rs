//! Conda files, as pip requirements.
//!
//! The packages of the `pip:` list are taken as they are; conda's own are looked up under the name
//! they have on `PyPI`. Libraries and programs that are no Python packages are left out, unless the
//! machine has conda: what is asked of that is kept beside.

use std::{fs, io, path::Path};

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::Spanned;

use super::{
    error_at,
    requirements::{self, Files},
};
use api::{
    Error, Result,
    environments::{Conda, Environment},
};

#[derive(Deserialize)]
struct CondaFile {
    #[serde(default)]
    channels: Option<Vec<String>>,
    dependencies: Vec<Spanned<Dependency>>,
}

enum Dependency {
    Conda(String),
    Pip(Vec<Spanned<String>>),
}

impl<'de> Deserialize<'de> for Dependency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Dependency;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a package such as `numpy=1.23`, or `pip:` with a list")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Dependency, E> {
                Ok(Dependency::Conda(text.trim().to_owned()))
            }
            fn visit_map<A: de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Dependency, A::Error> {
                let mut packages = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key != "pip" {
                        return Err(de::Error::unknown_field(&key, &["pip"]));
                    }
                    packages = map.next_value()?;
                }
                Ok(Dependency::Pip(packages))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Conda's names of packages that `PyPI` knows by another.
const RENAMED: &[(&str, &str)] = &[
    ("pytorch", "torch"),
    ("pytorch-cpu", "torch"),
    ("pytorch-gpu", "torch"),
    ("py-xgboost", "xgboost"),
    ("py-xgboost-cpu", "xgboost"),
    ("tensorflow-base", "tensorflow"),
    ("tensorflow-gpu", "tensorflow"),
    ("tensorflow-cpu", "tensorflow"),
    ("matplotlib-base", "matplotlib"),
    ("opencv", "opencv-python-headless"),
    ("py-opencv", "opencv-python-headless"),
    ("pytables", "tables"),
    ("msgpack-python", "msgpack"),
    ("dask-core", "dask"),
    ("ray-core", "ray"),
    ("ray-default", "ray"),
    ("seaborn-base", "seaborn"),
    ("plotly_express", "plotly"),
];

/// Conda packages that are libraries, compilers or programs rather than Python packages.
const SYSTEM: &[&str] = &[
    "abseil-cpp",
    "alsa-lib",
    "arrow-cpp",
    "attr",
    "blas",
    "boost-cpp",
    "bzip2",
    "c-ares",
    "c-compiler",
    "ca-certificates",
    "cairo",
    "cmake",
    "compilers",
    "cpuonly",
    "cuda",
    "cudatoolkit",
    "cudnn",
    "cxx-compiler",
    "dbus",
    "expat",
    "ffmpeg",
    "fontconfig",
    "freetype",
    "g++",
    "gcc",
    "gettext",
    "gflags",
    "gfortran",
    "giflib",
    "git",
    "glib",
    "glog",
    "gmp",
    "graphite2",
    "grpc-cpp",
    "gst-plugins-base",
    "gstreamer",
    "gxx",
    "harfbuzz",
    "hdf5",
    "icu",
    "jemalloc",
    "jpeg",
    "keyutils",
    "krb5",
    "lame",
    "lcms2",
    "lerc",
    "lz4-c",
    "lzo",
    "make",
    "mkl",
    "mpc",
    "mpfr",
    "mysql-common",
    "mysql-libs",
    "nccl",
    "ncurses",
    "nettle",
    "ninja-build",
    "nodejs",
    "nomkl",
    "nspr",
    "nss",
    "openblas",
    "openh264",
    "openjdk",
    "openjpeg",
    "openldap",
    "openmpi",
    "openssl",
    "orc",
    "pango",
    "pcre",
    "pcre2",
    "perl",
    "pixman",
    "pthread-stubs",
    "python_abi",
    "pytorch-cuda",
    "pytorch-mutex",
    "qt-main",
    "qt-webengine",
    "r",
    "rdma-core",
    "re2",
    "readline",
    "s2n",
    "snappy",
    "sqlite",
    "tk",
    "ucx",
    "unixodbc",
    "unzip",
    "utf8proc",
    "wget",
    "x264",
    "xz",
    "yaml",
    "zeromq",
    "zip",
    "zlib",
    "zstd",
];
const SYSTEM_PREFIXES: &[&str] = &[
    "_",
    "lib",
    "r-",
    "cuda-",
    "gcc_",
    "gxx_",
    "sysroot_",
    "nvidia-",
    "aws-c-",
    "aws-sdk-cpp",
    "binutils",
    "kernel-headers",
    "ld_impl",
    "qt6-",
    "xcb-",
    "xorg-",
];
/// Names that begin like a system library and are Python packages all the same.
const NOT_SYSTEM: &[&str] = &["libcst", "librosa", "libclang", "libpysal", "libtmux"];

/// Reads a conda file; `name` is what it is called in messages.
pub fn parse(content: &str, name: &str, path: &Path) -> Result<Environment> {
    parse_with(content, name, path, &|path| fs::read_to_string(path))
}

/// Reads a conda file that is kept without the folder it was in: it can include no other file.
pub fn parse_stored(content: &str, name: &str) -> Result<Environment> {
    let none = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    parse_with(content, name, Path::new(name), &none)
}

fn parse_with(content: &str, name: &str, path: &Path, files: Files<'_>) -> Result<Environment> {
    let file: CondaFile = serde_saphyr::from_str(content).map_err(|e| yaml_error(name, &e))?;
    let mut version = None;
    let mut lines = Vec::new();
    let mut conda = Conda {
        channels: file.channels.unwrap_or_default(),
        ..Conda::default()
    };
    for dependency in file.dependencies {
        let line = dependency.referenced.line();
        match dependency.value {
            Dependency::Pip(packages) => {
                for package in packages {
                    let line = package.referenced.line();
                    let found = requirements::parse_with(&package.value, "", path, files);
                    lines.extend(found.map_err(|e| moved(e, name, line))?);
                }
            }
            Dependency::Conda(text) => {
                match conda_package(&text) {
                    Some(Package::Python(found)) => version = found,
                    Some(Package::Pip(requirement)) => {
                        lines.push(requirement.clone());
                        conda.stand_ins.push(requirement);
                    }
                    Some(Package::LeftOut(package)) => conda.left_out.push(package),
                    Some(Package::Implied) => {}
                    None => {
                        return Err(error_at(
                            name,
                            line,
                            format!("`{text}` is not a conda package"),
                        )
                        .hint("A conda package is a name with a version, such as `numpy=1.23`"));
                    }
                }
                conda.packages.push(text);
            }
        }
    }
    Ok(Environment::Python {
        version,
        requirements: lines,
        notes: Vec::new(),
        name: name.to_owned(),
        path: None,
        conda: Some(Box::new(conda)),
        image: None,
    })
}

/// Puts an error of an entry at the entry's own place, unless it is in an included file.
fn moved(mut error: Error, name: &str, line: u64) -> Error {
    if error
        .target
        .as_deref()
        .is_none_or(|target| target.starts_with(':'))
    {
        error.target = Some(format!("{name}:{line}"));
    }
    error
}

fn yaml_error(name: &str, error: &serde_saphyr::Error) -> Error {
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or_default();
    let message = message.split(" at line ").next().unwrap_or_default();
    match error.location() {
        Some(at) => Error::invalid(message).at(format!("{name}:{}:{}", at.line(), at.column())),
        None => Error::invalid(message).at(format!("{name}:1")),
    }
}

enum Package {
    /// Python itself, in this version.
    Python(Option<String>),
    Pip(String),
    LeftOut(String),
    /// Every environment has it.
    Implied,
}

/// What a conda package is to pip; none when the text is no package.
fn conda_package(text: &str) -> Option<Package> {
    let text = text.rsplit_once("::").map_or(text, |(_, package)| package);
    let start = text
        .find(['=', '<', '>', '!', '~', ' '])
        .unwrap_or(text.len());
    let (name, versions) = text.split_at(start);
    let name = name.to_lowercase();
    let versions = pip_versions(versions.trim())?;
    requirements::check(&format!("{name}{versions}")).ok()?;
    Some(match name.as_str() {
        "python" => Package::Python(
            versions
                .trim_start_matches(['=', '~', '>'])
                .split(',')
                .next()
                .map(|version| version.trim_end_matches(".*").to_owned())
                .filter(|version| version.starts_with(|c: char| c.is_ascii_digit())),
        ),
        "pip" => Package::Implied,
        name if is_system(name) => Package::LeftOut(name.to_owned()),
        name => {
            let renamed = RENAMED.iter().find(|(conda, _)| *conda == name);
            let name = renamed.map_or(name, |(_, pip)| pip);
            Package::Pip(format!("{name}{versions}"))
        }
    })
}

fn is_system(name: &str) -> bool {
    SYSTEM.contains(&name)
        || (!NOT_SYSTEM.contains(&name)
            && SYSTEM_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix)))
}

/// Conda's `=1.2` is any 1.2; a build such as `=py310_0` after the version pins it whole and means
/// nothing to pip.
fn pip_versions(versions: &str) -> Option<String> {
    let Some(rest) = versions.strip_prefix('=') else {
        let bare = versions.starts_with(|c: char| c.is_ascii_digit());
        let prefix = if bare { "==" } else { "" };
        return Some(format!("{prefix}{versions}"));
    };
    if let Some(exact) = rest.strip_prefix('=') {
        return Some(format!("=={}", exact.split('=').next()?));
    }
    Some(match rest.split_once('=') {
        Some((version, _build)) => format!("=={version}"),
        None if rest.ends_with('*') => format!("=={rest}"),
        None => format!("=={rest}.*"),
    })
}
