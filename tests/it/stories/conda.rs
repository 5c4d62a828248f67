//! Environments that conda makes, by a program that does what micromamba would.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::each_mode_with;

/// Makes a virtual environment with a program that names its folder.
const MICROMAMBA: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/calls"
test -e "$here/away" && { echo "critical Could not resolve host: conda.example" >&2; exit 1; }
test -e "$here/strict" && { echo "nothing provides openjdk" >&2; exit 1; }
test "$MAMBA_ALWAYS_COPY" = true || exit 1
folder=$3
python3 -m venv "$folder" || exit 1
mkdir -p "$folder/conda-meta" "$folder/etc/conda/activate.d"
printf '#!/bin/sh\necho "java of %s"\n' "$folder" > "$folder/bin/java"
chmod +x "$folder/bin/java"
echo "jre $folder" > "$folder/lib/java.conf"
echo 'export JAVA_HOME="$CONDA_PREFIX/lib"' > "$folder/etc/conda/activate.d/java.sh"
echo '==> made' > "$folder/conda-meta/history"
echo '{"paths_data": {"paths": [{"_path": "lib/java.conf", "prefix_placeholder": "/opt/placeholder", "file_mode": "text"}]}}' > "$folder/conda-meta/openjdk-11.json"
"#;

const CONDA: &str = "\
channels: [conda-forge, nodefaults]
dependencies: [openjdk=11, pip, {pip: [wheel]}]
";

#[test]
fn conda_makes_what_is_no_python_package() {
    let programs = tempfile::tempdir().expect("makes a folder");
    let at = |name: &str| programs.path().join(name);
    fs::write(at("micromamba"), MICROMAMBA).expect("writes");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(at("micromamba"), executable).expect("makes it executable");
    each_mode_with(programs.path(), |aml| {
        let _ = fs::remove_file(at("calls"));
        let calls = || fs::read_to_string(at("calls")).expect("it was called");
        aml.ok("workspace create -n ws");
        aml.write("conda.yml", CONDA);
        let said = aml.ok([
            "run",
            "submit",
            "-e",
            "exp",
            "--env",
            "conda.yml",
            "-s",
            "--",
            "echo $CONDA_PREFIX; java; cat $JAVA_HOME/java.conf; python -c 'import wheel'; \
             echo changed > $CONDA_PREFIX/conda-meta/history; pip uninstall -qy wheel",
        ]);
        let lines: Vec<&str> = said.lines().collect();
        let own = lines[0];
        assert!(own.contains("/cache/environments/"), "{said}");
        assert_eq!(lines[1], format!("java of {own}"));
        assert_eq!(lines[2], format!("jre {own}"));
        let called = calls();
        assert!(
            called.ends_with("--channel conda-forge --override-channels openjdk=11 pip python\n"),
            "{called}"
        );
        // What the run did there is its own, and the environment is made once.
        let submit = "run submit -e exp --env conda.yml -n second -s -- 'python -c \"import wheel\"; cat $CONDA_PREFIX/conda-meta/history'";
        assert_eq!(aml.ok(submit), "==> made\n");
        assert_eq!(calls().lines().count(), 1);
        let shown = aml.ok("run show second");
        assert!(!shown.contains("Not installed"), "{shown}");

        // What conda says of why it cannot is why the run fails.
        fs::write(at("strict"), "").expect("writes");
        aml.write("other.yml", "dependencies: [openjdk=99]\n");
        let error = aml.fails(10, "run submit -e exp --env other.yml -s -- true");
        assert!(error.contains("nothing provides openjdk"), "{error}");
        fs::remove_file(at("strict")).expect("removes");

        // Channels that are away are asked once, and the run has what the package index has.
        fs::write(at("away"), "").expect("writes");
        let before = calls().lines().count();
        for name in ["third", "fourth"] {
            let output = aml.run([
                "run",
                "submit",
                "-e",
                "exp",
                "--env",
                "other.yml",
                "-n",
                name,
                "-s",
                "--",
                "true",
            ]);
            assert_eq!(output.status, 0, "{}", output.stderr);
            assert!(
                output
                    .stderr
                    .contains("Not installed from other.yml: openjdk"),
                "{}",
                output.stderr
            );
            let away = "micromamba could not reach the channels of other.yml";
            assert!(output.stderr.contains(away), "{}", output.stderr);
        }
        assert_eq!(calls().lines().count(), before + 1);
        fs::remove_file(at("away")).expect("removes");
    });
}
