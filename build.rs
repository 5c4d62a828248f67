//! How the program is linked.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script by the environment"
)]

use std::{env, process::Command};

/// The first C library of GNU that reads packed relocations.
const READS_PACKED: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of_target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let told = |name: &str, word: &str| env::var(name).as_deref() == Ok(word);
    if of_target("OS") == "linux" && told("PROFILE", "release") && told("DEBUG", "false") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
    let native = env::var("TARGET") == env::var("HOST");
    let portable = env::var_os("CARGO_FEATURE_PORTABLE").is_some();
    if native
        && !portable
        && of_target("OS") == "linux"
        && of_target("ENV") == "gnu"
        && reads_packed()
    {
        // A tenth of the program is addresses to set right before it starts; packed, next to nothing
        // of it is read: each command starts sooner, and a server takes some MiB less.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether the C library here, which the program will be run with, reads packed relocations.
fn reads_packed() -> bool {
    let Ok(told) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else {
        return false;
    };
    let told = String::from_utf8_lossy(&told.stdout);
    let version = told.trim().strip_prefix("glibc ").unwrap_or_default();
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    let version = parts.next().zip(parts.next());
    version.is_some_and(|version| version >= READS_PACKED)
}
