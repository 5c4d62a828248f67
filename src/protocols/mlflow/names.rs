//! Names for runs that come without one.

use uuid::Uuid;

const ADJECTIVES: [&str; 32] = [
    "able", "amused", "bold", "brave", "bright", "calm", "capable", "charming", "clean", "clever",
    "cool", "crisp", "daring", "eager", "fair", "fast", "gentle", "glad", "grand", "happy",
    "honest", "keen", "kind", "lively", "mild", "noble", "polite", "proud", "quick", "silent",
    "smart", "wise",
];
const NOUNS: [&str; 32] = [
    "ant", "ape", "bee", "bird", "carp", "cat", "colt", "crab", "crane", "deer", "doe", "dove",
    "duck", "eel", "elk", "finch", "fish", "fox", "frog", "goat", "hare", "hawk", "hen", "lamb",
    "lynx", "mole", "moth", "mouse", "newt", "otter", "owl", "seal",
];

/// A name such as `brave-otter-417`.
pub fn made_up() -> String {
    let random = Uuid::new_v4();
    let bytes = random.as_bytes();
    let pick = |words: &[&'static str; 32], byte: u8| words[usize::from(byte) % words.len()];
    let number = u16::from_le_bytes([bytes[2], bytes[3]]) % 1000;
    format!(
        "{}-{}-{number}",
        pick(&ADJECTIVES, bytes[0]),
        pick(&NOUNS, bytes[1])
    )
}
