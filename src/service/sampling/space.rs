//! What a sweep may try.
//!
//! Every dimension is stretched over the numbers from 0 to 1 (its *unit*), evenly where it is to be
//! sampled evenly. So all samplers search the same cube.

use serde_json::{Value, json};

use super::normal;
use api::{Error, Result};
use spec::{
    described::Map,
    kinds::sweep::{NormalType, QNormalType, QUniformType, SearchSpace, UniformType, multiples},
};

/// Values of one dimension that a grid may have.
const GRID: u64 = 1_000_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    pub dimensions: Vec<Dimension>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    pub name: String,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Choice(Vec<Value>),
    /// Integers from 0 to below.
    Below(u64),
    Number {
        drawn: Drawn,
        /// The number is this to the power of what is drawn.
        base: Option<f64>,
        /// Only multiples of it.
        step: Option<f64>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Drawn {
    Uniform { min: f64, max: f64 },
    Normal { mean: f64, deviation: f64 },
}

impl Space {
    /// Reads a search space; `base` is that of logarithmic distributions.
    pub fn read(written: &Map<SearchSpace>, base: f64) -> Result<Self> {
        if written.is_empty() {
            return Err(Error::invalid("There is nothing to try")
                .at("search_space")
                .hint("Name what varies: search_space: {lr: {type: uniform, min_value: 0.01, max_value: 0.1}}"));
        }
        let read = |(name, space): (&str, &SearchSpace)| {
            let values = values(space, base);
            let values = values.map_err(|error| error.at(format!("search_space.{name}")))?;
            Ok(Dimension {
                name: name.to_owned(),
                values,
            })
        };
        let dimensions = written.iter().map(read).collect::<Result<_>>()?;
        Ok(Self { dimensions })
    }

    /// How many points there are; none when there is no end of them.
    pub fn size(&self) -> Option<u64> {
        let sizes = self.dimensions.iter().map(Dimension::size);
        sizes.reduce(|all, size| all?.checked_mul(size?)).flatten()
    }

    /// The point of a grid, the last dimension first; none when there are no more.
    pub fn grid_point(&self, mut index: u64) -> Option<Vec<Value>> {
        let mut point = Vec::with_capacity(self.dimensions.len());
        for dimension in self.dimensions.iter().rev() {
            let size = dimension.size()?;
            point.push(dimension.nth(index % size));
            index /= size;
        }
        point.reverse();
        (index == 0).then_some(point)
    }
}

impl Dimension {
    /// The value at a unit.
    pub fn at(&self, unit: f64) -> Value {
        // A normal distribution has no ends.
        let unit = unit.clamp(1e-16, 1.0 - 1e-16);
        match &self.values {
            Values::Choice(values) => values[nth_of(unit, values.len() as u64) as usize].clone(),
            Values::Below(upper) => json!(nth_of(unit, *upper)),
            Values::Number { drawn, base, step } => {
                let number = drawn.at(unit);
                let number = base.map_or(number, |base| base.powf(number));
                match step {
                    None => json!(number),
                    Some(step) => self.stepped(number, *step),
                }
            }
        }
    }

    /// The unit of a value: the middle of all that have it.
    pub fn unit_of(&self, value: &Value) -> f64 {
        match &self.values {
            Values::Choice(values) => {
                let nth = values.iter().position(|known| known == value);
                middle(nth.unwrap_or_default() as u64, values.len() as u64)
            }
            Values::Below(upper) => middle(value.as_u64().unwrap_or_default(), *upper),
            Values::Number { drawn, base, .. } => {
                let number = value.as_f64().unwrap_or_default();
                let number = base.map_or(number, |base| number.ln() / base.ln());
                drawn.unit_of(number).clamp(0.0, 1.0)
            }
        }
    }

    /// How many values it has; none when there is no end of them.
    pub fn size(&self) -> Option<u64> {
        match &self.values {
            Values::Choice(values) => Some(values.len() as u64),
            Values::Below(upper) => Some(*upper),
            Values::Number { step, .. } => {
                let (first, last) = self.multiples((*step)?)?;
                Some((last - first) as u64 + 1)
            }
        }
    }

    /// Whether its values are in no order.
    pub fn is_choice(&self) -> bool {
        matches!(self.values, Values::Choice(_))
    }

    fn nth(&self, nth: u64) -> Value {
        match &self.values {
            Values::Choice(values) => values[nth as usize].clone(),
            Values::Below(_) => json!(nth),
            Values::Number { step, .. } => {
                let step = step.unwrap_or(1.0);
                let first = self.multiples(step).map_or(0.0, |(first, _)| first);
                multiple(first + nth as f64, step)
            }
        }
    }

    /// The first and the last multiple of `step` that it can have; none when it has no bounds.
    fn multiples(&self, step: f64) -> Option<(f64, f64)> {
        let Values::Number {
            drawn: Drawn::Uniform { min, max },
            base,
            ..
        } = &self.values
        else {
            return None;
        };
        let bound = |number: f64| base.map_or(number, |base| base.powf(number));
        Some(multiples(bound(*min), bound(*max), step))
    }

    /// The nearest multiple of `step`, within the bounds if there are any.
    fn stepped(&self, number: f64, step: f64) -> Value {
        let mut times = (number / step).round();
        if let Some((first, last)) = self.multiples(step) {
            times = times.clamp(first, last);
        }
        multiple(times, step)
    }
}

/// A multiple without what the computer adds to it; a whole number where all of them are.
fn multiple(times: f64, step: f64) -> Value {
    let number = times * step;
    if step.fract() == 0.0 && number.abs() < 1e15 {
        return json!(number as i64);
    }
    let shown = format!("{number:.12e}");
    json!(shown.parse().unwrap_or(number))
}

fn nth_of(unit: f64, count: u64) -> u64 {
    ((unit * count as f64) as u64).min(count.saturating_sub(1))
}

fn middle(nth: u64, count: u64) -> f64 {
    (nth as f64 + 0.5) / count as f64
}

impl Drawn {
    fn at(self, unit: f64) -> f64 {
        match self {
            Drawn::Uniform { min, max } => (min + unit * (max - min)).clamp(min, max),
            Drawn::Normal { mean, deviation } => mean + deviation * normal::quantile(unit),
        }
    }

    fn unit_of(self, number: f64) -> f64 {
        match self {
            Drawn::Uniform { min, max } if max > min => (number - min) / (max - min),
            Drawn::Uniform { .. } => 0.5,
            Drawn::Normal { mean, deviation } => normal::cdf((number - mean) / deviation),
        }
    }
}

fn values(written: &SearchSpace, base: f64) -> Result<Values> {
    let problem = written.problem().or_else(|| written.out_of_reach(base));
    if let Some((_, problem)) = problem {
        return Err(Error::invalid(problem));
    }
    let number = |drawn, log: bool, step: Option<f64>| Values::Number {
        drawn,
        base: log.then_some(base),
        step,
    };
    let uniform = |min, max| Drawn::Uniform { min, max };
    let normal = |mean, deviation| Drawn::Normal { mean, deviation };
    Ok(match written {
        SearchSpace::Choice(choice) => Values::Choice(choice.values.clone()),
        SearchSpace::Randint(randint) => Values::Below(randint.upper.unsigned_abs()),
        SearchSpace::Uniform(space) => number(
            uniform(space.min_value, space.max_value),
            space.r#type == UniformType::LogUniform,
            None,
        ),
        SearchSpace::QUniform(space) => number(
            uniform(space.min_value, space.max_value),
            space.r#type == QUniformType::QLogUniform,
            Some(space.q),
        ),
        SearchSpace::Normal(space) => number(
            normal(space.mu, space.sigma),
            space.r#type == NormalType::LogNormal,
            None,
        ),
        SearchSpace::QNormal(space) => number(
            normal(space.mu, space.sigma),
            space.r#type == QNormalType::QLogNormal,
            Some(space.q),
        ),
    })
}

impl Space {
    /// Refuses a space that no grid can be laid over.
    pub fn check_grid(&self) -> Result<()> {
        for dimension in &self.dimensions {
            if dimension.size().is_none_or(|size| size > GRID) {
                return Err(Error::invalid(format!(
                    "`{}` has no end of values, so no grid can be laid over it",
                    dimension.name
                ))
                .at(format!("search_space.{}", dimension.name))
                .hint("Use a choice, a randint or a quniform, or sampling_algorithm: random"));
            }
        }
        Ok(())
    }
}
