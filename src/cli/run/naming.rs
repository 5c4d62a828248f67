//! Names for runs and experiments that were given none.

use std::path::Path;

use api::{Error, Result, names};

const ADJECTIVES: [&str; 40] = [
    "able", "amber", "bold", "brave", "bright", "calm", "clever", "cool", "crisp", "eager", "fair",
    "fast", "fine", "gentle", "glad", "golden", "good", "green", "happy", "jolly", "keen", "kind",
    "lively", "loyal", "lucky", "mellow", "merry", "neat", "nice", "noble", "plucky", "proud",
    "quick", "quiet", "rapid", "sharp", "smart", "sunny", "warm", "wise",
];

const NOUNS: [&str; 40] = [
    "apple", "badger", "beach", "bear", "bee", "birch", "brook", "cedar", "cloud", "comet",
    "crane", "deer", "eagle", "falcon", "fern", "finch", "fox", "hare", "hazel", "heron", "lake",
    "larch", "lark", "lemon", "lynx", "maple", "moon", "oak", "otter", "owl", "panda", "pear",
    "pine", "plum", "river", "robin", "seal", "swan", "tiger", "wren",
];

/// A name such as `brave_otter_1f0c93ab`: easy to say, never the same twice.
pub fn new_name() -> String {
    let random = uuid::Uuid::new_v4();
    let bytes = random.as_bytes();
    let pick = |words: &[&'static str; 40], byte: u8| words[usize::from(byte) % 40];
    let hex = random.simple().to_string();
    format!(
        "{}_{}_{}",
        pick(&ADJECTIVES, bytes[0]),
        pick(&NOUNS, bytes[1]),
        &hex[24..]
    )
}

/// The experiment of a run submitted in `folder`: as the folder is called.
pub fn experiment_of(folder: &Path) -> Result<String> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    match names::EXPERIMENT.check(&name) {
        Ok(()) => Ok(name.into_owned()),
        Err(_) => Err(Error::invalid("Which experiment does the run belong to?")
            .at("--experiment")
            .hint("Name it: --experiment NAME")),
    }
}
