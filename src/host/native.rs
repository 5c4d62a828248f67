//! Scoring in the host itself, when it was built with that.

#[cfg(feature = "native")]
pub use native::Scorer;

#[cfg(not(feature = "native"))]
pub use absent::Scorer;

/// Whether it was.
pub const BUILT: bool = cfg!(feature = "native");

/// What stands for scoring in a program that was built without.
#[cfg(not(feature = "native"))]
mod absent {
    use std::{convert::Infallible, path::Path};

    use api::{Result, deployments::without_native};

    pub struct Scorer(Infallible);

    impl Scorer {
        pub fn load(_: &Path) -> Result<Self> {
            Err(without_native())
        }

        pub fn answer(&self, _: &[u8]) -> Result<Vec<u8>> {
            match self.0 {}
        }

        pub fn swagger(&self) -> Vec<u8> {
            match self.0 {}
        }
    }
}
