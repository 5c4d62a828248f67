//! Versions that were pinned for an older Python: where one has no wheel for the Python that is here,
//! the nearest later one that has stands for it.

/// The first versions that run with `NumPy` 2. Those before do not say that they do not.
const FOR_NUMPY_2: [(&str, [u32; 3]); 4] = [
    ("pandas", [2, 2, 2]),
    ("scikit-learn", [1, 4, 2]),
    ("scipy", [1, 13, 0]),
    ("torch", [2, 3, 0]),
];
const OLD_NUMPY: &str = "numpy<2";
/// `MLflow` that saves models of older scikit-learns in a way that needs nothing to be said.
const OLD_MLFLOW: &str = ">=2,<3";
/// The first scikit-learn that is not such an older one.
const NEWER_SKLEARN: [u32; 3] = [1, 5, 0];

/// Packages that are installed on this Python or a later one and do not run there: those before the first
/// version, and what stands for them.
const DO_NOT_RUN: [(&str, [u32; 2], [u32; 3], &str); 1] =
    [("cloudpickle", [3, 11], [1, 5, 0], "2.2.1")];

/// Where versions that are called by years begin.
const YEARS: u32 = 2000;

/// What stands for a pinned version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stands {
    Itself,
    /// This version has a wheel.
    Nearest(String),
    /// This version is what the one that stands for another pin goes with.
    Beside {
        version: String,
        other: String,
    },
    /// This version runs.
    Runs(&'static str),
    /// None has; it is built from source.
    Built,
}

#[derive(Debug)]
struct Pin {
    /// Line among the requirements.
    line: usize,
    /// As it was written, with extras.
    name: String,
    /// The least of those that are allowed.
    version: String,
    /// It alone is.
    exact: bool,
    stands: Stands,
}

/// A pin that an installer's words say cannot be installed on this Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub pin: usize,
    /// Because of what it needs.
    pub by_needs: bool,
}

/// The requirements of an environment and the pins among them.
#[derive(Debug)]
pub struct Pins {
    lines: Vec<String>,
    pins: Vec<Pin>,
}

impl Pins {
    /// Those of an environment with this Python, such as `3.11`.
    pub fn of(requirements: &[String], python: &str) -> Self {
        let [major, minor, _] = numbers(python);
        let pin = |(line, text): (usize, &String)| {
            let (name, version, exact) = pinned(text)?;
            let mut known = DO_NOT_RUN.iter();
            let broken = known.find(|(known, since, first, _)| {
                exact
                    && *known == normal(without_extras(name))
                    && [major, minor] >= *since
                    && numbers(version) < *first
            });
            Some(Pin {
                line,
                name: name.to_owned(),
                version: version.to_owned(),
                exact,
                stands: broken.map_or(Stands::Itself, |(.., runs)| Stands::Runs(runs)),
            })
        };
        Self {
            lines: requirements.to_vec(),
            pins: requirements.iter().enumerate().filter_map(pin).collect(),
        }
    }

    /// The requirements with what stands for the pins.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.lines.clone();
        for pin in &self.pins {
            if let Some(version) = pin.stands.version() {
                lines[pin.line] = format!("{}=={version}", pin.name);
            }
        }
        if let Some((line, _)) = self.too_new_mlflow() {
            lines[line] = format!("{}{OLD_MLFLOW}", lines[line].trim());
        }
        if self.made_for_old_numpy().is_some() {
            lines.push(OLD_NUMPY.to_owned());
        }
        lines
    }

    /// The line of `MLflow` that names no version of it, and the older scikit-learn beside it.
    fn too_new_mlflow(&self) -> Option<(usize, &Pin)> {
        let mut lines = self.lines.iter();
        let line = lines.position(|line| {
            ["mlflow", "mlflow-skinny"].contains(&normal(without_extras(line)).as_str())
        })?;
        let mut pins = self.pins.iter();
        let old = pins.find(|pin| {
            normal(without_extras(&pin.name)) == "scikit-learn"
                && numbers(&pin.version) < NEWER_SKLEARN
        })?;
        Some((line, old))
    }

    /// A pin that was compiled for `NumPy` 1, and does not say so, where no version of `NumPy` is named.
    fn made_for_old_numpy(&self) -> Option<String> {
        let end = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
        let is_chosen = |line: &String| {
            let (name, rest) = line.split_at(line.find(end).unwrap_or(line.len()));
            normal(name) == "numpy"
                && rest
                    .trim_start()
                    .starts_with(['=', '<', '>', '~', '!', '@'])
        };
        if self.lines.iter().any(is_chosen) {
            return None;
        }
        let of_one_version = |pin: &&Pin| pin.exact || matches!(pin.stands, Stands::Nearest(_));
        let pins = self.pins.iter().filter(of_one_version);
        let pinned_now = pins.map(|pin| {
            let version = pin.stands.version().unwrap_or(&pin.version);
            (pin.name.as_str(), version)
        });
        // Conda's `=1.2` is any 1.2.
        let any_of = self.lines.iter();
        let any_of = any_of.filter_map(|line| {
            let (name, version, _) = pinned(line.trim().strip_suffix(".*")?)?;
            Some((name, version, version.split('.').count()))
        });
        let old = pinned_now.map(|(name, version)| (name, version, 3));
        let old = old.chain(any_of).find(|(name, version, parts)| {
            let (name, parts) = (normal(without_extras(name)), (*parts).min(3));
            let mut all = FOR_NUMPY_2.iter();
            all.any(|(known, first)| *known == name && numbers(version)[..parts] < first[..parts])
        });
        old.map(|(name, version, _)| format!("{name} {version}"))
    }

    /// The packages that are not to be built from source.
    pub fn not_built(&self) -> impl Iterator<Item = &str> {
        // What a range allows may be there to be built only.
        let pins = self.pins.iter();
        let pins = pins.filter(|pin| pin.exact && pin.stands != Stands::Built);
        pins.map(|pin| without_extras(&pin.name))
    }

    /// The pin that an installer's words say cannot be installed on this Python, if one does.
    pub fn refused(&self, output: &str) -> Option<Refused> {
        let text = normal(&output.split_whitespace().collect::<Vec<_>>().join(" "));
        let find = |words: &str| {
            let mut found = text.match_indices(words);
            found.find_map(|(end, _)| {
                let said = text[..end].rsplit(' ').next().unwrap_or_default();
                self.pins.iter().position(|pin| pin.is_called(said))
            })
        };
        let words = [
            " has no usable wheel",
            " has no wheel",
            " depends on python",
        ];
        if let Some(pin) = words.into_iter().find_map(find) {
            let by_needs = false;
            return Some(Refused { pin, by_needs });
        }
        if !words[..2].iter().any(|words| text.contains(words)) {
            return None;
        }
        let pin = find(" depends on ")?;
        Some(Refused {
            pin,
            by_needs: true,
        })
    }

    /// Puts in the place of a pin the version that one goes with which stands for another, where an
    /// installer's words say so; whether they do.
    pub fn follow(&mut self, output: &str) -> bool {
        let text = normal(&output.split_whitespace().collect::<Vec<_>>().join(" "));
        for (at, between) in text.match_indices(" depends on ") {
            let said = text[..at].rsplit(' ').next().unwrap_or_default();
            let rest = &text[at + between.len()..];
            let Some((needed, asked)) = rest.split_once(" and you require ") else {
                continue;
            };
            let asked = asked.split([' ', ',']).next().unwrap_or_default();
            let stands =
                |pin: &&Pin| matches!(pin.stands, Stands::Nearest(_)) && pin.is_called(said);
            let other = self.pins.iter().find(stands).map(|pin| pin.name.clone());
            let own = |pin: &Pin| pin.stands == Stands::Itself && pin.is_called(asked);
            let found = (
                other,
                self.pins.iter().position(own),
                needed.split_once("=="),
            );
            if let (Some(other), Some(pin), Some((name, version))) = found
                && asked.split("==").next() == Some(name)
                && version.chars().all(is_plain)
            {
                let version = version.to_owned();
                self.pins[pin].stands = Stands::Beside { version, other };
                return true;
            }
        }
        false
    }

    /// The versions that may stand for a pin, those to ask for first: later ones that break nothing, or, where
    /// versions are called by years since then, the first of those. Where it is what it needs that is not
    /// there, and no such version can do without, any later one.
    pub fn wanted(&self, refused: Refused) -> Vec<String> {
        let Pin { name, version, .. } = &self.pins[refused.pin];
        let name = without_extras(name);
        let any = format!("{name}>={version}");
        let Some(major) = major(version) else {
            return vec![any];
        };
        let near = format!("{any},<{}", major + 1);
        if refused.by_needs {
            vec![near, any]
        } else if major < YEARS {
            vec![near, format!("{name}>={YEARS}")]
        } else {
            vec![near]
        }
    }

    /// The version for a pin among those that an installer has found.
    pub fn found<'a>(&self, refused: Refused, output: &'a str) -> Option<&'a str> {
        let wanted = normal(without_extras(&self.pins[refused.pin].name));
        let mut lines = output.lines().filter_map(|line| line.split_once("=="));
        let found = lines.find(|(name, _)| normal(without_extras(name)) == wanted);
        found.map(|(_, version)| version.trim())
    }

    /// Puts a version in the place of a pin; with none, it is built from source.
    pub fn settle(&mut self, pin: usize, found: Option<&str>) {
        let pin = &mut self.pins[pin];
        pin.stands = match (found, &pin.stands) {
            (Some(version), Stands::Itself) if version != pin.version => {
                Stands::Nearest(version.to_owned())
            }
            _ => Stands::Built,
        };
    }

    /// A sentence about each pin that another version stands for.
    pub fn notes(&self, python: &str) -> Vec<String> {
        let far = |pin: &Pin, version: &str| {
            if major(version) == major(&pin.version) {
                ""
            } else {
                ", another major version that may do things otherwise"
            }
        };
        let note = |pin: &Pin| match &pin.stands {
            Stands::Nearest(version) => Some(format!(
                "{} {} has no wheel for Python {python}; used {version}{}",
                pin.name,
                pin.version,
                far(pin, version)
            )),
            Stands::Beside { version, other } => Some(format!(
                "{} {} does not go with the {other} that was used; used {version}{}",
                pin.name,
                pin.version,
                far(pin, version)
            )),
            Stands::Runs(version) => Some(format!(
                "{} {} does not run on Python {python}; used {version}",
                pin.name, pin.version
            )),
            Stands::Itself | Stands::Built => None,
        };
        let old = self.made_for_old_numpy();
        let old = old.map(|pin| format!("{pin} is made for {OLD_NUMPY}"));
        let mlflow = self.too_new_mlflow().map(|(_, pin)| {
            format!(
                "{} {} is older than what mlflow 3 saves models of; used mlflow{OLD_MLFLOW}",
                pin.name, pin.version
            )
        });
        let notes = self.pins.iter().filter_map(note);
        notes.chain(old).chain(mlflow).collect()
    }
}

/// The number whose change says that something was broken.
fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

/// The first three numbers of a version.
pub fn numbers(version: &str) -> [u32; 3] {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

impl Stands {
    /// The version that is used in the place of the pinned one, if another is.
    fn version(&self) -> Option<&str> {
        match self {
            Self::Nearest(version) | Self::Beside { version, .. } => Some(version),
            Self::Runs(version) => Some(version),
            Self::Itself | Self::Built => None,
        }
    }
}

impl Pin {
    /// Whether an installer means it by a name with versions.
    fn is_called(&self, said: &str) -> bool {
        let end = said.find(['=', '<', '>', '~', '!']).unwrap_or(said.len());
        let (name, versions) = said.split_at(end);
        if name.split('[').next() != Some(&normal(without_extras(&self.name))) {
            return false;
        }
        let version = match &self.stands {
            _ if !self.exact => return false,
            Stands::Itself => &self.version,
            Stands::Nearest(version) => version,
            Stands::Beside { .. } | Stands::Runs(_) | Stands::Built => return false,
        };
        // `1.22` is the version 1.22.0.
        let mut ways = ["", ".0", ".0.0"].into_iter();
        ways.any(|rest| versions == format!("=={version}{rest}"))
    }
}

/// Name and least version of a line that allows no later ones than were known when it was written, and
/// whether it allows that one only.
fn pinned(line: &str) -> Option<(&str, &str, bool)> {
    let at = line.find(['=', '<', '>', '~', '!'])?;
    let (name, versions) = (line[..at].trim(), line[at..].trim());
    let (version, exact) = if let Some(version) = versions.strip_prefix("==") {
        (version, true)
    } else if let Some(version) = versions.strip_prefix("~=") {
        (version, false)
    } else {
        let (least, most) = versions.split_once(',')?;
        most.trim().strip_prefix('<')?;
        (least.strip_prefix(">=")?, false)
    };
    let version = version.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.[],".contains(c);
    let good = !name.is_empty()
        && name.chars().all(is_name)
        && version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(is_plain);
    good.then_some((name, version, exact))
}

/// Whether a version that says all of itself may have it.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".+".contains(c)
}

fn without_extras(name: &str) -> &str {
    name.split('[').next().unwrap_or(name).trim()
}

/// Names are the same with `-` and `_` and in any case.
fn normal(text: &str) -> String {
    text.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_for_numpy_1_gets_it_where_nothing_is_said_of_it() {
        let lines = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            Pins::of(&lines, "3.11").lines()
        };
        assert_eq!(
            lines(&["pandas==1.4", "mlflow"]),
            ["pandas==1.4", "mlflow", "numpy<2"]
        );
        assert_eq!(lines(&["scikit_learn==1.1.2"]).last().unwrap(), "numpy<2");
        assert_eq!(
            lines(&["scikit-learn==1.2.2.*", "numpy"]).last().unwrap(),
            "numpy<2"
        );
        for other in [
            &["pandas==2.2.2"][..],
            &["pandas"],
            &["pandas==2.*", "scipy==1.*", "scikit-learn==1.*"],
            &["pandas==2.2.*"],
            &["pandas==1.4", "numpy >=2"],
            &["x==1"],
        ] {
            assert_eq!(lines(other), other);
        }
    }

    #[test]
    fn mlflow_is_no_newer_than_the_scikit_learn_beside_it_can_be_saved_by() {
        let lines = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            Pins::of(&lines, "3.11").lines()
        };
        assert_eq!(
            lines(&["mlflow", "scikit-learn~=1.2.2"]),
            ["mlflow>=2,<3", "scikit-learn~=1.2.2"]
        );
        for other in [
            &["mlflow", "scikit-learn~=1.5.0"][..],
            &["mlflow==3.1", "scikit-learn~=1.2.2"],
            &["mlflow", "pandas~=1.5"],
        ] {
            assert_eq!(lines(other), other);
        }
    }

    #[test]
    fn a_pin_that_is_refused_gives_way_to_the_nearest_and_is_noted() {
        let lines = [
            "numpy==1.22.0",
            "scikit_learn == 1.1.2",
            "mlflow<2.22",
            "a==1.*",
            "b[x]==2.0",
        ];
        let lines = lines.map(str::to_owned);
        let mut pins = Pins::of(&lines, "3.11");
        assert_eq!(
            pins.not_built().collect::<Vec<_>>(),
            ["numpy", "scikit_learn", "b"]
        );
        assert_eq!(pins.refused("nothing of the kind"), None);
        let said = "Because numpy==1.22.0 has no\n   usable wheels and you require it";
        let refused = |pin| Refused {
            pin,
            by_needs: false,
        };
        assert_eq!(pins.refused(said), Some(refused(0)));
        let short = Pins::of(&["numpy==1.22".to_owned()], "3.11");
        assert_eq!(short.refused(said), Some(refused(0)));
        assert_eq!(pins.wanted(refused(0)), ["numpy>=1.22.0,<2", "numpy>=2000"]);
        pins.settle(0, Some("1.23.2"));
        let said = "scikit-learn==1.1.2 depends on Python>=3.8,<3.11";
        assert_eq!(pins.refused(said), Some(refused(1)));
        pins.settle(1, None);
        assert_eq!(pins.refused(said), None);
        let expected = [
            "numpy==1.23.2",
            "scikit_learn == 1.1.2",
            "mlflow<2.22",
            "a==1.*",
            "b[x]==2.0",
        ];
        assert_eq!(pins.lines(), expected);
        assert_eq!(pins.not_built().collect::<Vec<_>>(), ["numpy", "b"]);
        assert_eq!(
            pins.notes("3.11"),
            ["numpy 1.22.0 has no wheel for Python 3.11; used 1.23.2"]
        );
    }

    #[test]
    fn a_pin_whose_needs_are_not_there_gives_way_and_a_range_does_not() {
        let lines = ["mltable==0.1.0b4", "pandas>=1.1,<1.2"];
        let mut pins = Pins::of(&lines.map(str::to_owned), "3.11");
        assert_eq!(pins.not_built().collect::<Vec<_>>(), ["mltable"]);
        let said = "Because pandas>=1.1.0,<=1.1.5 has no usable wheels and only the following";
        assert_eq!(pins.refused(said), None);
        let said = "Because rslex==2.11.4 has no wheels with a matching Python ABI tag, prep<=4 cannot be \
                    used. And because mltable==0.1.0b4 depends on prep>=4 we can conclude";
        let refused = pins.refused(said).unwrap();
        assert_eq!((refused.pin, refused.by_needs), (0, true));
        let wanted = ["mltable>=0.1.0b4,<1", "mltable>=0.1.0b4"];
        assert_eq!(pins.wanted(refused), wanted);
        pins.settle(0, Some("1.5.0"));
        let note = "mltable 0.1.0b4 has no wheel for Python 3.11; used 1.5.0, another major version that may do \
                    things otherwise";
        assert_eq!(pins.notes("3.11"), [note]);
        assert_eq!(pins.lines(), ["mltable==1.5.0", "pandas>=1.1,<1.2"]);
        assert_eq!(pins.refused("x<1 depends on y, but y has no wheels"), None);
    }

    #[test]
    fn a_pin_follows_what_stands_for_another() {
        let lines = ["torch==1.13.0", "torchvision==0.14.0"].map(str::to_owned);
        let mut pins = Pins::of(&lines, "3.11");
        let said = "Because torchvision==0.15.1 depends on torch==2.0.0\n  and you require torch==1.13.0, we \
                    can conclude that your requirements and torchvision==0.15.1 are incompatible.";
        assert!(!pins.follow(said), "nothing stands for torchvision");
        pins.settle(1, Some("0.15.1"));
        assert!(pins.follow(said));
        let expected = ["torch==2.0.0", "torchvision==0.15.1", OLD_NUMPY];
        assert_eq!(pins.lines(), expected);
        let note = "torch 1.13.0 does not go with the torchvision that was used; used 2.0.0, another major \
                    version that may do things otherwise";
        assert_eq!(pins.notes("3.11")[0], note);
        assert!(!pins.follow(said), "once");
    }

    #[test]
    fn what_would_not_run_gives_way_at_once() {
        let lines = ["cloudpickle==1.1.1".to_owned()];
        let pins = Pins::of(&lines, "3.11");
        assert_eq!(pins.lines(), ["cloudpickle==2.2.1"]);
        let note = "cloudpickle 1.1.1 does not run on Python 3.11; used 2.2.1";
        assert_eq!(pins.notes("3.11"), [note]);
        assert_eq!(Pins::of(&lines, "3.10").lines(), lines);
        for other in [
            "cloudpickle==1.6.0",
            "cloudpickle>=1.2,<2",
            "cloudpickle ~= 1.2",
        ] {
            let lines = [other.to_owned()];
            assert_eq!(Pins::of(&lines, "3.11").lines(), lines);
        }
    }
}
