//! Dockerfiles and what of them is installed.

use super::*;

#[test]
fn packages_of_a_dockerfile_are_installed_and_the_rest_is_noted() {
    let mut context = Context::default();
    let mut add = |path: &str, text: &str| context.read(path.to_owned(), Some(text.to_owned()));
    add(
        "Dockerfile",
        "# a comment\nFROM python:3.10\nARG V=1.2\nCOPY . /build\nRUN apt-get update && \\\n  \
         apt-get install -y gcc\nRUN pip install --no-cache-dir numpy==${V} 'pandas<2' && \
         pip install -r /build/more.txt\nRUN conda env update -f conda.yml\n",
    );
    add("more.txt", "joblib\n-r deep/other.txt\n");
    add("deep/other.txt", "scipy\n");
    add(
        "conda.yml",
        "dependencies:\n  - python=3.9\n  - pip:\n    - mlflow<2.22\n",
    );
    let Environment::Python {
        version,
        requirements,
        notes,
        ..
    } = environment(&context, "./Dockerfile", "e:1", &BTreeMap::new()).unwrap()
    else {
        panic!("a Python environment");
    };
    assert_eq!(version.as_deref(), Some("3.9"));
    assert_eq!(
        requirements,
        ["numpy==1.2", "pandas<2", "joblib", "scipy", "mlflow<2.22"]
    );
    assert!(notes[0].contains("python:3.10"), "{notes:?}");
    assert_eq!(
        notes[1],
        "Not done of Dockerfile: apt-get update; apt-get install -y gcc"
    );
    let error = environment(&context, "Other", "e", &BTreeMap::new()).unwrap_err();
    assert_eq!(error.message, "The build context has no file `Other`");
}

fn packages(files: &[(&str, &str)], arguments: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let mut context = Context::default();
    for (path, _) in files {
        context.add((*path).to_owned());
    }
    let arguments = arguments.iter();
    let arguments = arguments.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let arguments = arguments.collect();
    loop {
        let made = environment(&context, "Dockerfile", "e", &arguments);
        if let Some(path) = context.wanted() {
            let text = files.iter().find(|(known, _)| *known == path).unwrap().1;
            context.read(path, Some(text.to_owned()));
            continue;
        }
        let Environment::Python {
            requirements,
            notes,
            ..
        } = made.unwrap()
        else {
            panic!("a Python environment");
        };
        return (requirements, notes);
    }
}

#[test]
fn options_are_understood_in_every_form() {
    let (lines, notes) = packages(
        &[
            (
                "Dockerfile",
                "FROM python:3.11\nRUN --mount=type=cache,target=/x python3 -m pip --quiet install \\\n\
                 --index-url=https://h/s --requirement=a.txt -rb.txt -c limits.txt \\\n\
                 --trusted-host=h --no-cache-dir \"torch ; python_version > '3'\" && apt-get update\n\
                 RUN [\"pip3\", \"install\", \"x>1\"]\nRUN <<EOF\npip install y\npip install z\nEOF\n\
                 RUN conda install --channel=conda-forge --name=base -y scipy\n",
            ),
            ("a.txt", "a\n"),
            ("sub/b.txt", "b\n"),
            ("limits.txt", "numpy<2\n"),
        ],
        &[],
    );
    let expected = [
        "--index-url https://h/s",
        "a",
        "b",
        "-c numpy<2",
        "--trusted-host h",
        "torch ; python_version > '3'",
        "x>1",
        "y",
        "z",
        "scipy",
    ];
    assert_eq!(lines, expected);
    assert_eq!(notes[1], "Not done of Dockerfile: apt-get update");
}

#[test]
fn stages_go_on_from_each_other_and_arguments_are_given() {
    let text = "ARG BASE=python:3.10\nARG V=1\nFROM $BASE AS base\nARG V\nARG VERSION=7\n\
        RUN pip install \"a==$V\" b==${VERSION} 'c==${W:-3}'\nFROM base AS other\nRUN pip install d\n\
        FROM scratch AS none\nRUN pip install lost\nFROM base\nENV X=2 Y=3\nRUN pip install e==$X.$V\n";
    let given = |arguments: &[(&str, &str)]| packages(&[("Dockerfile", text)], arguments).0;
    assert_eq!(given(&[]), ["a==1", "b==7", "c==3", "e==2.1"]);
    assert_eq!(given(&[("V", "5"), ("W", "9")])[..2], ["a==5", "b==7"]);
}

#[test]
fn a_file_is_the_one_that_was_copied_there() {
    let text = "FROM x\nARG MODEL=one\nCOPY $MODEL/needs.txt /tmp/list.txt\nRUN pip install -r /tmp/list.txt\n";
    let files = [
        ("Dockerfile", text),
        ("one/needs.txt", "a"),
        ("two/needs.txt", "b"),
    ];
    assert_eq!(packages(&files, &[]).0, ["a"]);
    assert_eq!(packages(&files, &[("MODEL", "two")]).0, ["b"]);
}
