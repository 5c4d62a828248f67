//! Versions that were pinned for an older Python: where one has no wheel for the Python that is here,
//! the nearest later one that has stands for it.

/// What stands for a pinned version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stands {
    Itself,
    /// This version has a wheel.
    Nearest(String),
    /// None has; it is built from source.
    Built,
}

#[derive(Debug)]
struct Pin {
    /// Line among the requirements.
    line: usize,
    /// As it was written, with extras.
    name: String,
    version: String,
    stands: Stands,
}

/// The requirements of an environment and the pins among them.
#[derive(Debug)]
pub struct Pins {
    lines: Vec<String>,
    pins: Vec<Pin>,
}

impl Pins {
    pub fn of(requirements: &[String]) -> Self {
        let pin = |(line, text): (usize, &String)| {
            let (name, version) = exact(text)?;
            Some(Pin {
                line,
                name: name.to_owned(),
                version: version.to_owned(),
                stands: Stands::Itself,
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
            if let Stands::Nearest(version) = &pin.stands {
                lines[pin.line] = format!("{}=={version}", pin.name);
            }
        }
        lines
    }

    /// The packages that are not to be built from source.
    pub fn not_built(&self) -> impl Iterator<Item = &str> {
        let pins = self.pins.iter().filter(|pin| pin.stands != Stands::Built);
        pins.map(|pin| without_extras(&pin.name))
    }

    /// The pin that an installer's words say cannot be installed on this Python, if one does.
    pub fn refused(&self, output: &str) -> Option<usize> {
        let text = normal(&output.split_whitespace().collect::<Vec<_>>().join(" "));
        self.pins.iter().position(|pin| {
            let version = match &pin.stands {
                Stands::Itself => &pin.version,
                Stands::Nearest(version) => version,
                Stands::Built => return false,
            };
            let name = normal(without_extras(&pin.name));
            let words = [
                " has no usable wheel",
                " has no wheel",
                " depends on python",
            ];
            // `1.22` is the version 1.22.0.
            let ways = ["", ".0", ".0.0"].map(|rest| format!("{name}=={version}{rest}"));
            let says = |way: &String| {
                let mut all = words.iter();
                all.any(|words| text.contains(&format!("{way}{words}")))
            };
            ways.iter().any(says)
        })
    }

    /// The versions that may stand for a pin: later ones that break nothing.
    pub fn wanted(&self, pin: usize) -> String {
        let Pin { name, version, .. } = &self.pins[pin];
        let major = version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        let next = major.map_or_else(String::new, |major: u32| format!(",<{}", major + 1));
        format!("{}>={version}{next}", without_extras(name))
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
        let note = |pin: &Pin| match &pin.stands {
            Stands::Nearest(version) => Some(format!(
                "{} {} has no wheel for Python {python}; used {version}",
                pin.name, pin.version
            )),
            Stands::Itself | Stands::Built => None,
        };
        self.pins.iter().filter_map(note).collect()
    }
}

/// Name and version of a line that allows one version only.
fn exact(line: &str) -> Option<(&str, &str)> {
    let (name, version) = line.split_once("==")?;
    let (name, version) = (name.trim(), version.trim());
    let plain = |c: char| c.is_ascii_alphanumeric() || ".+".contains(c);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.[],".contains(c);
    let good = !name.is_empty()
        && name.chars().all(is_name)
        && version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(plain);
    good.then_some((name, version))
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
    fn a_pin_that_is_refused_gives_way_to_the_nearest_and_is_noted() {
        let lines = [
            "numpy==1.22.0",
            "scikit_learn == 1.1.2",
            "mlflow<2.22",
            "a==1.*",
            "b[x]==2.0",
        ];
        let lines = lines.map(str::to_owned);
        let mut pins = Pins::of(&lines);
        assert_eq!(
            pins.not_built().collect::<Vec<_>>(),
            ["numpy", "scikit_learn", "b"]
        );
        assert_eq!(pins.refused("nothing of the kind"), None);
        let said = "Because numpy==1.22.0 has no\n   usable wheels and you require it";
        assert_eq!(pins.refused(said), Some(0));
        let short = Pins::of(&["numpy==1.22".to_owned()]);
        assert_eq!(short.refused(said), Some(0));
        assert_eq!(pins.wanted(0), "numpy>=1.22.0,<2");
        pins.settle(0, Some("1.23.2"));
        let said = "scikit-learn==1.1.2 depends on Python>=3.8,<3.11";
        assert_eq!(pins.refused(said), Some(1));
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
}
