//! The steps of a pipeline, drawn: a column of signs joined by lines, and beside each what it is.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::runs::duration;
use api::{jobs::SEARCHES, pipelines::PipelineStep, runs::RunStatus};

/// More lines side by side than this are not drawn; the steps say what they wait for instead.
const LANES: usize = 24;
/// More trials of a sweep than this are counted, not drawn.
const TRIALS: usize = 16;

/// Draws steps from top to bottom, each below those it waits for.
pub fn drawn(steps: &[PipelineStep]) -> String {
    lines(steps).join("\n")
}

fn lines(steps: &[PipelineStep]) -> Vec<String> {
    let graph = Graph::of(steps);
    let order = graph.order();
    let width = steps.iter().map(|step| step.name.chars().count()).max();
    let width = width.unwrap_or(0);
    let Some(rows) = graph.rows(&order) else {
        return order
            .iter()
            .flat_map(|at| listed(&steps[*at], width))
            .collect();
    };
    let lanes = rows.iter().map(|row| row.sign.chars().count()).max();
    let lanes = lanes.unwrap_or(0);
    let mut lines = Vec::new();
    for (at, row) in order.iter().zip(rows) {
        let step = &steps[*at];
        let sign = row.sign.replace('◆', &sign(step).to_string());
        lines.push(format!("{sign:lanes$}{}", label(step, width)));
        for inner in inside(step) {
            lines.push(format!("{}  {inner}", row.below));
        }
        lines.extend(row.link);
    }
    lines
}

/// The steps of a step; trials only while there are few.
fn inside(step: &PipelineStep) -> Vec<String> {
    if SEARCHES.contains(&&*step.kind) && step.steps.len() > TRIALS {
        return Vec::new();
    }
    lines(&step.steps)
}

/// A step as a line of a list.
fn listed(step: &PipelineStep, width: usize) -> Vec<String> {
    let after = match step.after.as_slice() {
        [] => String::new(),
        after if after.len() > 5 => format!("  after {} steps", after.len()),
        after => format!("  after {}", after.join(", ")),
    };
    let mut lines = vec![format!("{} {}{after}", sign(step), label(step, width))];
    lines.extend(inside(step).iter().map(|line| format!("    {line}")));
    lines
}

fn sign(step: &PipelineStep) -> char {
    match step.status {
        _ if step.reuses.is_some() => '=',
        Some(RunStatus::Completed) => '✓',
        Some(RunStatus::Failed | RunStatus::Canceled) => '✗',
        Some(RunStatus::Queued | RunStatus::NotStarted) => '○',
        Some(_) => '●',
        None if step.skipped => '-',
        None => '○',
    }
}

fn label(step: &PipelineStep, width: usize) -> String {
    let name = &step.name;
    let stands = match (&step.reuses, step.status) {
        (Some(run), _) => format!("reused from {run}"),
        (None, Some(status)) => status.to_string(),
        (None, None) if step.skipped => "Skipped".to_owned(),
        (None, None) => "Waiting".to_owned(),
    };
    let took = match (step.started_at, step.ended_at) {
        (Some(started), Some(ended)) => format!("  {}", duration(ended.since(started))),
        _ => String::new(),
    };
    let trials = match step.steps.len() {
        count if SEARCHES.contains(&&*step.kind) && count > 0 => format!("  {count} trials"),
        _ => String::new(),
    };
    format!("{name:width$}  {stands}{took}{trials}")
}

struct Graph {
    /// The steps that wait for a step.
    next: Vec<Vec<usize>>,
    waits: Vec<usize>,
}

/// What is drawn for one step.
struct Row {
    /// Up to and with its sign.
    sign: String,
    /// What goes on beside and below it.
    below: String,
    /// The lines to those that wait for it.
    link: Option<String>,
}

/// Directions in which a line leaves a place.
const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

impl Graph {
    fn of(steps: &[PipelineStep]) -> Self {
        let names: BTreeMap<&str, usize> = steps
            .iter()
            .map(|step| step.name.as_str())
            .zip(0..)
            .collect();
        let mut next = vec![Vec::new(); steps.len()];
        let mut waits = vec![0; steps.len()];
        for (at, step) in steps.iter().enumerate() {
            for before in step
                .after
                .iter()
                .filter_map(|name| names.get(name.as_str()))
            {
                next[*before].push(at);
                waits[at] += 1;
            }
        }
        Self { next, waits }
    }

    /// The steps, each after those it waits for, else as they were written.
    fn order(&self) -> Vec<usize> {
        let mut waits = self.waits.clone();
        let ready = (0..waits.len()).filter(|at| waits[*at] == 0).map(Reverse);
        let mut ready: BinaryHeap<Reverse<usize>> = ready.collect();
        let mut order = Vec::with_capacity(waits.len());
        while let Some(Reverse(at)) = ready.pop() {
            order.push(at);
            for next in &self.next[at] {
                waits[*next] -= 1;
                if waits[*next] == 0 {
                    ready.push(Reverse(*next));
                }
            }
        }
        order
    }

    /// None when there would be too many lines side by side.
    fn rows(&self, order: &[usize]) -> Option<Vec<Row>> {
        // Each lane leads to one step.
        let mut lanes: Vec<Option<usize>> = Vec::new();
        let mut rows = Vec::with_capacity(order.len());
        for at in order {
            let column = place_of(&mut lanes, Some(*at), None);
            lanes[column] = None;
            let before = lanes.clone();
            let mut ends: Vec<usize> = Vec::new();
            for next in &self.next[*at] {
                ends.push(place_of(&mut lanes, Some(*next), Some(column)));
                lanes[*ends.last()?] = Some(*next);
            }
            if lanes.len() > LANES {
                return None;
            }
            rows.push(Row {
                sign: beside(&before, column),
                below: beside_all(&lanes),
                link: link(&before, &lanes, column, &ends),
            });
            while lanes.last() == Some(&None) {
                lanes.pop();
            }
        }
        Some(rows)
    }
}

/// The lane that leads to a step, else a free one, made when there is none.
fn place_of(lanes: &mut Vec<Option<usize>>, to: Option<usize>, first: Option<usize>) -> usize {
    if let Some(found) = lanes.iter().position(|lane| *lane == to) {
        return found;
    }
    if let Some(first) = first.filter(|first| lanes[*first].is_none()) {
        return first;
    }
    match lanes.iter().position(Option::is_none) {
        Some(free) => free,
        None => {
            lanes.push(None);
            lanes.len() - 1
        }
    }
}

/// The lanes beside a step; its own place is marked.
fn beside(lanes: &[Option<usize>], column: usize) -> String {
    let sign = |at: usize| match lanes.get(at) {
        _ if at == column => '◆',
        Some(Some(_)) => '│',
        _ => ' ',
    };
    let all = 0..lanes.len().max(column + 1);
    all.flat_map(|at| [sign(at), ' ']).collect()
}

fn beside_all(lanes: &[Option<usize>]) -> String {
    let sign = |lane: &Option<usize>| if lane.is_some() { "│ " } else { "  " };
    lanes.iter().map(sign).collect()
}

/// The line below a step, unless all lanes just go down.
fn link(
    before: &[Option<usize>],
    after: &[Option<usize>],
    column: usize,
    ends: &[usize],
) -> Option<String> {
    let first = ends.iter().copied().chain([column]).min()?;
    let last = ends.iter().copied().chain([column]).max()?;
    if first == last {
        return None;
    }
    let mut text = String::new();
    for at in 0..after.len().max(before.len()) {
        let has = |lanes: &[Option<usize>]| lanes.get(at).is_some_and(Option::is_some);
        let joins = at == column || ends.contains(&at);
        let mut ways = 0;
        if has(before) || at == column {
            ways |= UP;
        }
        if has(after) {
            ways |= DOWN;
        }
        if at > first && at <= last {
            ways |= LEFT;
        }
        if at >= first && at < last {
            ways |= RIGHT;
        }
        text.push(corner(ways, joins));
        text.push(if at >= first && at < last { '─' } else { ' ' });
    }
    Some(text.trim_end().to_owned())
}

fn corner(ways: u8, joins: bool) -> char {
    const UP_DOWN: u8 = UP | DOWN;
    const ACROSS: u8 = LEFT | RIGHT;
    match (ways & UP_DOWN, ways & ACROSS) {
        (UP_DOWN | UP | DOWN, 0) => '│',
        (UP_DOWN, LEFT) => '┤',
        (UP_DOWN, RIGHT) => '├',
        (UP_DOWN, ACROSS) if joins => '┼',
        // One line passes another.
        (UP_DOWN, ACROSS) => '│',
        (UP, LEFT) => '╯',
        (UP, RIGHT) => '╰',
        (UP, ACROSS) => '┴',
        (DOWN, LEFT) => '╮',
        (DOWN, RIGHT) => '╭',
        (DOWN, ACROSS) => '┬',
        (0, 0) => ' ',
        _ => '─',
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn step(name: &str, after: &[&str], status: Option<RunStatus>) -> PipelineStep {
        PipelineStep {
            name: name.to_owned(),
            kind: "command".to_owned(),
            after: after.iter().map(|&name| name.to_owned()).collect(),
            run: None,
            status,
            reason: None,
            skipped: false,
            reuses: None,
            started_at: None,
            ended_at: None,
            steps: Vec::new(),
        }
    }

    #[test]
    fn lines_lead_from_a_step_to_those_that_wait_for_it() {
        use RunStatus::{Completed, Running};
        let mut inner = step("in", &["c"], Some(Running));
        inner.steps = vec![step("x", &[], Some(Completed)), step("y", &["x"], None)];
        let steps = [
            step("a", &[], Some(Completed)),
            step("b", &["a"], Some(Completed)),
            step("c", &["a"], Some(Running)),
            inner,
            step("e", &["b", "in"], None),
            step("alone", &[], None),
        ];
        expect![[r"
            ✓   a      Completed
            ├─╮
            ✓ │ b      Completed
            │ ● c      Running
            │ ● in     Running
            │     ✓ x  Completed
            │     ○ y  Waiting
            ├─╯
            ○   e      Waiting
            ○   alone  Waiting
        "]]
        .assert_eq(&(drawn(&steps) + "\n"));
    }

    #[test]
    fn what_is_too_wide_is_a_list() {
        let mut steps: Vec<PipelineStep> = Vec::new();
        for at in 0..30 {
            steps.push(step(&format!("a{at}"), &[], None));
        }
        for at in 0..30 {
            let after: Vec<String> = (0..30).map(|at| format!("a{at}")).collect();
            let after: Vec<&str> = after.iter().map(String::as_str).collect();
            steps.push(step(&format!("b{at}"), &after, None));
        }
        let text = drawn(&steps);
        assert!(text.ends_with("○ b29  Waiting  after 30 steps"), "{text}");
    }
}
