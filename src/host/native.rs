//! Scoring in the host itself, when it was built with that.

#[cfg(feature = "native")]
pub use native::Scorer;

#[cfg(not(feature = "native"))]
pub use absent::Scorer;

/// What stands for scoring in a program that was built without.
#[cfg(not(feature = "native"))]
mod absent {
    use std::{convert::Infallible, path::Path};

    use api::{Error, Result};

    pub struct Scorer(Infallible);

    impl Scorer {
        pub fn load(_: &Path) -> Result<Self> {
            Err(Error::invalid("This aml was built without native scoring")
                .hint("Build one with it: cargo install --path . --features native")
                .hint("Or deploy without --native, to score with Python"))
        }

        pub fn answer(&self, _: &[u8]) -> Result<Vec<u8>> {
            match self.0 {}
        }

        pub fn swagger(&self) -> Vec<u8> {
            match self.0 {}
        }
    }
}
