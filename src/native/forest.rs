//! Ensembles of trees, whatever wrote them: one flat list of nodes, walked from each root.

/// How a value is compared where a tree forks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Test {
    LessEqual(f64),
    Less(f64),
    GreaterEqual(f64),
    Greater(f64),
    Equal(f64),
    NotEqual(f64),
    /// Whether it is a category of the set with this number.
    In(u32),
}

/// What becomes of a value that is missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Missing {
    /// It is compared as it is.
    Compared,
    /// It counts as zero.
    Zero,
    /// It passes the test, or not.
    Passes(bool),
    /// So does a value of zero; what is missing counts as zero.
    ZeroPasses(bool),
}

/// Values of this size and less are zero to `LightGBM`.
const ZERO: f64 = 1e-35;

/// A fork. A child below zero is the leaf `-1 - child`.
#[derive(Debug, Clone, Copy)]
pub struct Fork {
    pub feature: u32,
    pub missing: Missing,
    pub test: Test,
    /// Where a row goes that passes, and where one that does not.
    pub passed: i32,
    pub failed: i32,
}

/// A leaf adds these weights: the outputs and how much.
#[derive(Debug, Clone, Default)]
pub struct Leaf {
    pub begin: u32,
    pub end: u32,
}

#[derive(Debug, Default)]
pub struct Forest {
    pub forks: Vec<Fork>,
    pub leaves: Vec<Leaf>,
    /// Output and weight, of all leaves one after the other.
    pub weights: Vec<(u32, f64)>,
    pub roots: Vec<i32>,
    /// Sets of categories as bits.
    pub sets: Vec<Vec<u32>>,
    pub outputs: usize,
    /// How many columns a row has at least.
    pub features: usize,
}

impl Forest {
    /// Adds a leaf and answers how a fork names it.
    pub fn leaf(&mut self, weights: impl IntoIterator<Item = (u32, f64)>) -> i32 {
        let begin = self.weights.len();
        self.weights.extend(weights);
        let number = self.leaves.len();
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.leaves.push(Leaf {
            begin: small(begin),
            end: small(self.weights.len()),
        });
        -1 - i32::try_from(number).unwrap_or(i32::MAX - 1)
    }

    /// Whether each tree leads from its root to its leaves, so that walking ends, and asks for columns
    /// and adds to outputs that there are.
    pub fn is_whole(&self) -> bool {
        let mut seen = vec![false; self.forks.len()];
        let mut open = self.roots.clone();
        while let Some(at) = open.pop() {
            let Ok(number) = usize::try_from(at) else {
                let leaf = usize::try_from(-1 - i64::from(at)).unwrap_or(usize::MAX);
                if leaf >= self.leaves.len() {
                    return false;
                }
                continue;
            };
            let (Some(fork), Some(seen)) = (self.forks.get(number), seen.get_mut(number)) else {
                return false;
            };
            let has_set = match fork.test {
                Test::In(set) => (set as usize) < self.sets.len(),
                _ => true,
            };
            if *seen || !has_set || fork.feature as usize >= self.features {
                return false;
            }
            *seen = true;
            open.extend([fork.passed, fork.failed]);
        }
        let mut outputs = self.weights.iter().map(|(output, _)| *output as usize);
        outputs.all(|output| output < self.outputs)
    }

    /// Adds what the trees say of a row, which has `features` values, to `outputs`.
    pub fn add(&self, row: &[f64], outputs: &mut [f64]) {
        for root in &self.roots {
            self.add_tree(*root, row, outputs);
        }
    }

    fn add_tree(&self, root: i32, row: &[f64], outputs: &mut [f64]) {
        let mut at = root;
        while let Ok(number) = usize::try_from(at) {
            let fork = &self.forks[number];
            at = if self.passes(fork, row[fork.feature as usize]) {
                fork.passed
            } else {
                fork.failed
            };
        }
        let leaf = &self.leaves[usize::try_from(-1 - at).unwrap_or_default()];
        for (output, weight) in &self.weights[leaf.begin as usize..leaf.end as usize] {
            outputs[*output as usize] += weight;
        }
    }

    fn passes(&self, fork: &Fork, value: f64) -> bool {
        let value = match fork.missing {
            Missing::Passes(passes) if value.is_nan() => return passes,
            Missing::Compared | Missing::Passes(_) => value,
            Missing::Zero => zero_if_missing(value),
            Missing::ZeroPasses(passes) => {
                let value = zero_if_missing(value);
                if value.abs() <= ZERO {
                    return passes;
                }
                value
            }
        };
        #[expect(clippy::float_cmp, reason = "it is what the tree asks")]
        match fork.test {
            Test::LessEqual(than) => value <= than,
            Test::Less(than) => value < than,
            Test::GreaterEqual(than) => value >= than,
            Test::Greater(than) => value > than,
            Test::Equal(to) => value == to,
            Test::NotEqual(to) => value != to,
            Test::In(set) => is_in(&self.sets[set as usize], value),
        }
    }
}

fn zero_if_missing(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value }
}

fn is_in(set: &[u32], value: f64) -> bool {
    // Also false for what is missing.
    if !(value > -1.0 && value < f64::from(i32::MAX)) {
        return false;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in range"
    )]
    let category = value as u32;
    let word = set.get(category as usize / 32);
    word.is_some_and(|word| word >> (category % 32) & 1 == 1)
}

/// Makes `values` shares of one.
pub fn softmax(values: &mut [f64]) {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - largest).exp();
        sum += *value;
    }
    for value in values {
        *value /= sum;
    }
}

/// The place of the largest, the first of several.
pub fn largest(values: &[f64]) -> usize {
    let places = values.iter().enumerate();
    let best = places.fold((0, f64::NEG_INFINITY), |best, (place, value)| {
        if *value > best.1 {
            (place, *value)
        } else {
            best
        }
    });
    best.0
}

pub fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}
