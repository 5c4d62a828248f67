//! Compares data with a reference, feature by feature: how far the distributions are from each other,
//! and how good the values are.

mod column;
mod measure;

use std::collections::{BTreeMap, BTreeSet};

use api::{
    Error, Result,
    monitors::{DriftAlert, DriftReport, FeatureDrift, FeatureType, Metric},
};
use column::Column;
pub use column::{Columns, Window};
use measure::{Bins, Shares};

/// What is alarming.
#[derive(Debug, Clone, Default)]
pub struct Thresholds {
    pub numerical: BTreeMap<Metric, f64>,
    pub categorical: BTreeMap<Metric, f64>,
}

/// Which features are compared, and how.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// All that both have when empty.
    pub features: Vec<String>,
    pub excluded: Vec<String>,
    /// Features whose numbers are names.
    pub categorical: BTreeSet<String>,
    pub thresholds: Thresholds,
}

impl Comparison {
    /// Compares two sets of columns; they are called as said.
    pub fn report(
        &self,
        (data_name, data): (&str, &Columns),
        (reference_name, reference): (&str, &Columns),
    ) -> Result<DriftReport> {
        for (name, columns) in [(data_name, data), (reference_name, reference)] {
            if columns.rows() == 0 {
                return Err(Error::conflict(format!("`{name}` has no rows to compare"))
                    .hint("Look at it: aml data preview NAME"));
            }
        }
        let names = self.names(data, reference)?;
        let (mut features, mut alerts) = (Vec::new(), Vec::new());
        for name in &names {
            if let (Some(data), Some(reference)) = (data.get(name), reference.get(name)) {
                let (feature, found) = self.feature(name, data, reference);
                features.push(feature);
                alerts.extend(found);
            }
        }
        let only = |one: &Columns, other: &Columns| -> Vec<String> {
            let names = one.names().filter(|name| other.get(name).is_none());
            names.map(str::to_owned).collect()
        };
        Ok(DriftReport {
            data: data_name.to_owned(),
            reference: reference_name.to_owned(),
            data_rows: data.rows(),
            reference_rows: reference.rows(),
            drifted: !alerts.is_empty(),
            features,
            alerts,
            only_in_data: only(data, reference),
            only_in_reference: only(reference, data),
        })
    }

    fn names(&self, data: &Columns, reference: &Columns) -> Result<Vec<String>> {
        for name in self
            .features
            .iter()
            .chain(&self.excluded)
            .chain(&self.categorical)
        {
            let known = || data.names().chain(reference.names());
            if !known().any(|known| known == name) {
                let error = Error::unknown("feature", name, "", api::names::nearest(name, known()));
                return Err(error.at("features"));
            }
        }
        for name in &self.features {
            for (side, columns) in [("data", data), ("reference", reference)] {
                if columns.get(name).is_none() {
                    let error = format!("The {side} has no feature `{name}`");
                    return Err(Error::invalid(error).at("features"));
                }
            }
        }
        let asked = |name: &&str| {
            let wanted = self.features.is_empty() || self.features.iter().any(|one| one == name);
            wanted && !self.excluded.iter().any(|one| one == name)
        };
        let both = reference.names().filter(|name| data.get(name).is_some());
        let names: Vec<String> = both.filter(asked).map(str::to_owned).collect();
        if names.is_empty() {
            let shown = |columns: &Columns| columns.names().collect::<Vec<_>>().join(", ");
            return Err(
                Error::invalid("The two have no feature in common to compare")
                    .hint(format!("The data has {}", shown(data)))
                    .hint(format!("The reference has {}", shown(reference))),
            );
        }
        Ok(names)
    }

    fn feature(
        &self,
        name: &str,
        data: &Column,
        reference: &Column,
    ) -> (FeatureDrift, Vec<DriftAlert>) {
        let numerical = reference.is_numerical() && !self.categorical.contains(name);
        let mut feature = FeatureDrift {
            name: name.to_owned(),
            kind: if numerical {
                FeatureType::Numerical
            } else {
                FeatureType::Categorical
            },
            drifted: false,
            metrics: BTreeMap::new(),
            ks_statistic: None,
            chi_squared: None,
            degrees_of_freedom: None,
            reference_null_rate: reference.missing_rate(),
        };
        feature
            .metrics
            .insert(Metric::NullValueRate, data.missing_rate());
        let thresholds = if numerical {
            measure_numbers(&mut feature, data, reference);
            &self.thresholds.numerical
        } else {
            measure_categories(&mut feature, data, reference);
            &self.thresholds.categorical
        };
        let beyond = |(metric, threshold): (&Metric, &f64)| {
            let value = *feature.metrics.get(metric)?;
            let beyond = if metric.is_p_value() {
                value < *threshold
            } else {
                value > *threshold
            };
            beyond.then(|| DriftAlert {
                feature: name.to_owned(),
                metric: *metric,
                value,
                threshold: *threshold,
            })
        };
        let alerts: Vec<DriftAlert> = thresholds.iter().filter_map(beyond).collect();
        feature.drifted = !alerts.is_empty();
        (feature, alerts)
    }
}

fn measure_numbers(feature: &mut FeatureDrift, data: &Column, reference: &Column) {
    let (mut new, mut old) = (data.numbers.clone(), reference.numbers.clone());
    new.sort_by(f64::total_cmp);
    old.sort_by(f64::total_cmp);
    let present = data.present();
    if present > 0 {
        feature
            .metrics
            .insert(Metric::DataTypeErrorRate, share(data.texts(), present));
    }
    let (Some(low), Some(high)) = (old.first().copied(), old.last().copied()) else {
        return;
    };
    let bins = Bins::of(&old);
    let (mut was, mut is) = (bins.counts(&old), bins.counts(&new));
    was.extend([0, 0]);
    // Values that are no numbers, or that there is none, are parts of their own.
    is.extend([data.texts(), u64::from(present == 0)]);
    measure_shares(feature, &Shares::of(&was, &is));
    if new.is_empty() {
        return;
    }
    let outside = new
        .iter()
        .filter(|value| **value < low || **value > high)
        .count();
    let outside = share(outside as u64, new.len() as u64);
    feature.metrics.insert(Metric::OutOfBoundsRate, outside);
    let (statistic, p) = measure::kolmogorov_smirnov(&old, &new);
    feature.ks_statistic = Some(statistic);
    feature
        .metrics
        .insert(Metric::TwoSampleKolmogorovSmirnovTest, p);
    if let Some(distance) = measure::normalized_wasserstein(&old, &new) {
        feature
            .metrics
            .insert(Metric::NormalizedWassersteinDistance, distance);
    }
}

fn measure_categories(feature: &mut FeatureDrift, data: &Column, reference: &Column) {
    let (new, old) = (data.categories(), reference.categories());
    let present = data.present();
    if old.is_empty() {
        return;
    }
    if present == 0 {
        // Nothing in common.
        return measure_shares(feature, &Shares::of(&[1, 0], &[0, 1]));
    }
    let unseen = new.iter().filter(|(name, _)| !old.contains_key(*name));
    let unseen: u64 = unseen.map(|(_, count)| *count).sum();
    feature
        .metrics
        .insert(Metric::OutOfBoundsRate, share(unseen, present));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let counts = |of: &BTreeMap<String, u64>| -> Vec<u64> {
        names
            .iter()
            .map(|name| of.get(*name).copied().unwrap_or(0))
            .collect()
    };
    let (old, new) = (counts(&old), counts(&new));
    measure_shares(feature, &Shares::of(&old, &new));
    let (statistic, freedom, p) = measure::chi_squared(&old, &new);
    feature.chi_squared = Some(statistic);
    feature.degrees_of_freedom = Some(freedom);
    feature.metrics.insert(Metric::PearsonsChiSquaredTest, p);
}

fn measure_shares(feature: &mut FeatureDrift, shares: &Shares) {
    let metrics = &mut feature.metrics;
    metrics.insert(Metric::PopulationStabilityIndex, shares.stability_index());
    metrics.insert(Metric::JensenShannonDistance, shares.jensen_shannon());
}

#[expect(clippy::cast_precision_loss, reason = "a share of a count")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "what is compared is exact")]
mod tests {
    use super::*;
    use table::Cell;

    fn columns(values: &[(&str, Vec<Cell>)]) -> Columns {
        let mut columns = Columns::default();
        for row in 0..values[0].1.len() {
            columns.add(
                values
                    .iter()
                    .map(|(name, cells)| (*name, cells[row].clone())),
            );
        }
        columns
    }

    fn ints(range: std::ops::Range<i64>) -> Vec<Cell> {
        range.map(Cell::Int).collect()
    }

    fn words(words: &[&str]) -> Vec<Cell> {
        let cell = |word: &&str| match *word {
            "" => Cell::Missing,
            word => Cell::Text(word.to_owned()),
        };
        words.iter().map(cell).collect()
    }

    #[test]
    fn what_has_not_changed_has_not_drifted() {
        let comparison = Comparison {
            thresholds: Thresholds {
                numerical: [(Metric::PopulationStabilityIndex, 0.2)].into(),
                categorical: [(Metric::PopulationStabilityIndex, 0.2)].into(),
            },
            ..Comparison::default()
        };
        let reference = columns(&[("age", ints(0..100)), ("id", ints(0..100))]);
        let same = comparison
            .report(("new", &reference), ("old", &reference))
            .unwrap();
        assert!(!same.drifted);
        assert_eq!(
            same.features[0].metrics[&Metric::TwoSampleKolmogorovSmirnovTest],
            1.0
        );
        let moved = columns(&[("age", ints(60..160)), ("other", ints(0..100))]);
        let report = comparison
            .report(("new", &moved), ("old", &reference))
            .unwrap();
        assert!(report.drifted);
        assert_eq!(report.alerts[0].feature, "age");
        assert_eq!(report.only_in_data, ["other"]);
        assert_eq!(report.only_in_reference, ["id"]);
        assert_eq!(report.features[0].metrics[&Metric::OutOfBoundsRate], 0.6);
    }

    #[test]
    fn missing_and_unseen_values_have_rates() {
        let reference = columns(&[("town", words(&["a", "b", "a", ""]))]);
        let data = columns(&[("town", words(&["a", "c", "", ""]))]);
        let comparison = Comparison {
            thresholds: Thresholds {
                categorical: [(Metric::NullValueRate, 0.4), (Metric::OutOfBoundsRate, 0.5)].into(),
                ..Thresholds::default()
            },
            ..Comparison::default()
        };
        let report = comparison
            .report(("new", &data), ("old", &reference))
            .unwrap();
        let town = &report.features[0];
        assert_eq!(town.kind, FeatureType::Categorical);
        assert_eq!(town.reference_null_rate, 0.25);
        assert_eq!(town.metrics[&Metric::NullValueRate], 0.5);
        assert_eq!(town.metrics[&Metric::OutOfBoundsRate], 0.5);
        let alerts: Vec<Metric> = report.alerts.iter().map(|alert| alert.metric).collect();
        assert_eq!(alerts, [Metric::NullValueRate]);
    }

    #[test]
    fn what_is_all_other_or_gone_has_drifted() {
        let psi = |reference: Vec<Cell>, data: Vec<Cell>| {
            let (reference, data) = (columns(&[("x", reference)]), columns(&[("x", data)]));
            let report = Comparison::default().report(("new", &data), ("old", &reference));
            report.unwrap().features[0].metrics[&Metric::PopulationStabilityIndex]
        };
        let flags = |ones: usize| -> Vec<Cell> {
            (0..100)
                .map(|nth| Cell::Int(i64::from(nth < ones)))
                .collect()
        };
        assert!(psi(flags(95), flags(5)) > 2.0);
        assert!(psi(flags(5), flags(95)) > 2.0);
        let sevens = vec![Cell::Int(7); 50];
        assert!(psi(sevens.clone(), vec![Cell::Int(100); 50]) > 2.0);
        assert!(psi(sevens.clone(), vec![Cell::Missing; 50]) > 2.0);
        assert!(psi(sevens.clone(), words(&["7y"; 50])) > 2.0);
        assert!(psi(words(&["a"; 50]), vec![Cell::Missing; 50]) > 2.0);
        assert_eq!(psi(sevens.clone(), sevens), 0.0);
    }

    #[test]
    fn a_feature_that_is_not_there_is_an_error() {
        let comparison = Comparison {
            features: vec!["agee".to_owned()],
            ..Comparison::default()
        };
        let columns = columns(&[("age", ints(0..3))]);
        let error = comparison
            .report(("a", &columns), ("b", &columns))
            .unwrap_err();
        assert!(error.explained().contains("age"), "{}", error.explained());
        let empty = Columns::default();
        let error = Comparison::default()
            .report(("a", &empty), ("b", &columns))
            .unwrap_err();
        assert!(
            error.message.contains("`a` has no rows"),
            "{}",
            error.message
        );
    }
}
