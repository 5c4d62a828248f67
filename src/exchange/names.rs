//! What experiments are called here: names that differ by case alone, or have characters at which
//! nobody can point, are legal in MLflow and not here.

use std::collections::HashSet;

use crate::{record::Experiment, tally::Tally};
use api::{Error, Result, names};

/// Keeps the experiments of these names; `place` says in an error where there is none.
pub fn select(experiments: &mut Vec<Experiment>, wanted: &[String], place: &str) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    for name in wanted {
        if !experiments
            .iter()
            .any(|experiment| experiment.name == *name)
        {
            let all = experiments
                .iter()
                .map(|experiment| experiment.name.as_str());
            let nearest = names::nearest(name, all);
            return Err(Error::unknown("experiment", name, place, nearest).at("--experiment"));
        }
    }
    experiments.retain(|experiment| wanted.contains(&experiment.name));
    Ok(())
}

/// The name of each experiment here. It depends on the experiments alone, so that a second import
/// finds the same.
pub fn names_here(experiments: &[Experiment], tally: &mut Tally) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut name_here = |experiment: &Experiment| {
        let plain: String = experiment
            .name
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        let mut name = match plain.trim() {
            "" => format!("experiment {}", experiment.id),
            plain => plain.to_owned(),
        };
        if !taken.insert(name.to_lowercase()) {
            name = format!("{name} ({})", experiment.id);
            taken.insert(name.to_lowercase());
        }
        if name != experiment.name {
            tally.remarks.push(format!(
                "The experiment `{}` is called `{name}` here",
                experiment.name.escape_debug()
            ));
        }
        name
    };
    experiments.iter().map(&mut name_here).collect()
}
