//! A Python environment of a run's own: the files of a shared one under another path, as hard links,
//! so that what the run installs changes nothing for others and costs no copy.

use std::{
    borrow::Cow,
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use super::{
    conda,
    environment::INSTALLER_LOCK,
    io_error,
    spares::{self, Own},
};
use api::Result;

/// Where the scripts of an environment are.
const SCRIPTS: &str = "bin";
/// The longest first line of a script that every kernel takes.
const LONGEST_FIRST_LINE: usize = 127;
/// Scripts longer than this are programs.
const LONGEST_SCRIPT: u64 = 1 << 20;

/// Makes the environment at `from` again among the `spares`. Its scripts name their own Python.
pub fn make(from: &Path, spares: &Path) -> Result<Own> {
    // Each has its own lock: who installs into one must not wait for who installs into another.
    spares::make(spares, from, |to| copy(from, to, &[INSTALLER_LOCK]))
}

/// Makes the environment at `from` again at `to`, without some of the files at its root.
pub fn copy(from: &Path, to: &Path, without: &[&str]) -> Result<()> {
    link(from, to, without)?;
    conda::rename(from, to)?;
    rename_in_scripts(from, to)
}

/// Writes a file in place of a link to a shared one, which is read-only; who may run it stays.
pub(super) fn write_anew(path: &Path, content: &[u8], shared: &fs::Metadata) -> io::Result<()> {
    let mode = fs::Permissions::from_mode(shared.permissions().mode() | 0o200);
    fs::remove_file(path)?;
    fs::write(path, content)?;
    fs::set_permissions(path, mode)
}

/// Links all files below a folder into another.
fn link(from: &Path, to: &Path, without: &[&str]) -> Result<()> {
    fs::create_dir(to).map_err(|e| io_error("make", to, &e))?;
    let entries = fs::read_dir(from).map_err(|e| io_error("read", from, &e))?;
    for entry in entries {
        let entry = entry.map_err(|e| io_error("read", from, &e))?;
        if without.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|e| io_error("read", &path, &e))?;
        if kind.is_dir() {
            link(&path, &target, &[])?;
            continue;
        }
        let placed = if kind.is_symlink() {
            fs::read_link(&path).and_then(|leads_to| symlink(leads_to, &target))
        } else {
            place(&path, &target)
        };
        placed.map_err(|e| io_error("make", &target, &e))?;
    }
    Ok(())
}

/// A copy where the file system takes no more links.
fn place(path: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(path, target) {
        Err(e) if e.kind() != io::ErrorKind::StorageFull => fs::copy(path, target).map(drop),
        linked => linked,
    }
}

/// Scripts of an environment begin with the path of its Python.
fn rename_in_scripts(from: &Path, to: &Path) -> Result<()> {
    let (old, new) = (from.display().to_string(), to.display().to_string());
    for entry in fs::read_dir(from.join(SCRIPTS))
        .into_iter()
        .flatten()
        .flatten()
    {
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        if !metadata.is_file() || metadata.len() > LONGEST_SCRIPT {
            continue;
        }
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        if !text.contains(&old) {
            continue;
        }
        let path = to.join(SCRIPTS).join(entry.file_name());
        let script = text.replace(&old, &new);
        write_anew(&path, started(&script).as_bytes(), &metadata)
            .map_err(|e| io_error("write", &path, &e))?;
    }
    Ok(())
}

/// The script with a first line that the kernel takes: a longer one is cut off there, or refused.
/// What `sh` reads as a command is a string to Python.
fn started(script: &str) -> Cow<'_, str> {
    let Some((first, rest)) = script.split_once('\n') else {
        return script.into();
    };
    let Some(python) = first.strip_prefix("#!").map(str::trim) else {
        return script.into();
    };
    if first.len() <= LONGEST_FIRST_LINE {
        return script.into();
    }
    format!("#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n{rest}").into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_copy_shares_files_but_not_scripts_and_changes_stay_in_it() {
        let root = tempfile::tempdir().unwrap();
        let from = root.path().join("shared");
        let at = |folder: &Path, path: &str| folder.join(path);
        fs::create_dir_all(at(&from, "bin")).unwrap();
        fs::create_dir_all(at(&from, "lib/site-packages")).unwrap();
        let script = format!("#!{}/bin/python\nprint(1)\n", from.display());
        fs::write(at(&from, "bin/tool"), &script).unwrap();
        fs::set_permissions(at(&from, "bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(at(&from, "lib/site-packages/a.py"), "a").unwrap();
        symlink("lib", at(&from, "lib64")).unwrap();
        fs::write(at(&from, INSTALLER_LOCK), "").unwrap();
        let own = make(&from, &root.path().join("spares")).unwrap();
        let to = own.path().to_owned();
        let inode = |folder: &Path, path: &str| fs::metadata(at(folder, path)).unwrap().ino();
        let module = "lib/site-packages/a.py";
        assert_eq!(inode(&from, module), inode(&to, module));
        assert!(!at(&to, INSTALLER_LOCK).exists() && at(&from, INSTALLER_LOCK).exists());
        assert_eq!(fs::read_link(at(&to, "lib64")).unwrap(), Path::new("lib"));
        let own = fs::read_to_string(at(&to, "bin/tool")).unwrap();
        assert!(
            own.starts_with(&format!("#!{}/bin/python", to.display())),
            "{own}"
        );
        let mode = fs::metadata(at(&to, "bin/tool")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(fs::read_to_string(at(&from, "bin/tool")).unwrap(), script);
        fs::remove_file(at(&to, module)).unwrap();
        fs::write(at(&to, module), "b").unwrap();
        assert_eq!(fs::read_to_string(at(&from, module)).unwrap(), "a");
    }

    #[test]
    fn scripts_run_in_a_deep_folder_too() {
        let root = tempfile::tempdir().unwrap();
        let (from, deep) = (
            root.path().join("shared"),
            root.path().join("d".repeat(200)),
        );
        fs::create_dir(&deep).unwrap();
        fs::create_dir_all(from.join("bin")).unwrap();
        // A Python that says what it is given.
        fs::write(from.join("bin/python"), "#!/bin/sh\nshift\necho \"$@\"\n").unwrap();
        let script = format!("#!{}/bin/python\nprint(1)\n", from.display());
        fs::write(from.join("bin/tool"), script).unwrap();
        for file in ["python", "tool"] {
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(from.join("bin").join(file), executable).unwrap();
        }
        let own = make(&from, &deep).unwrap();
        let said = std::process::Command::new(own.path().join("bin/tool"))
            .arg("a b")
            .output();
        assert_eq!(said.unwrap().stdout, b"a b\n");
    }
}
