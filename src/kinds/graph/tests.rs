//! Circles of steps.

#[test]
fn a_long_chain_of_steps_is_followed_to_its_end() {
    let all = 50_000;
    let names: Vec<String> = (0..all).map(|at| format!("s{at:06}")).collect();
    let next = |at: usize| vec![names[(at + 1) % all].as_str()];
    let waits = (0..all).map(|at| (names[at].as_str(), next(at)));
    let waits: std::collections::BTreeMap<&str, Vec<&str>> = waits.collect();
    let mut done = std::collections::HashSet::new();
    let circle = super::circle_from(&names[0], &waits, &mut done).unwrap();
    assert_eq!(circle.len(), all + 1);
    assert_eq!(super::circle_from(&names[1], &waits, &mut done), None);
}
