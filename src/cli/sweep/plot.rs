//! Numbers as a picture of characters.

/// Lines of a picture.
const HEIGHT: usize = 12;
/// Columns of a picture, at most.
const WIDTH: usize = 72;
/// Columns of the numbers beside it.
const MARGIN: usize = 12;

/// The value of each trial, `•`, and the best so far, `─`.
pub fn plot(title: &str, points: &[(u64, f64)], is_maximized: bool, width: usize) -> String {
    let values = points.iter().map(|(_, value)| *value);
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let last = points.iter().map(|(number, _)| *number).max().unwrap_or(0);
    let columns = width.saturating_sub(MARGIN).clamp(10, WIDTH);
    let count = usize::try_from(last)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let columns = columns.min(count.saturating_mul(3));
    let column = |number: u64| {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        (number.saturating_mul(columns) / count).min(columns - 1)
    };
    let row = |value: f64| {
        let part = if high > low {
            (value - low) / (high - low)
        } else {
            0.5
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a part of a few lines"
        )]
        let from_below = (part * (HEIGHT - 1) as f64).round() as usize;
        HEIGHT - 1 - from_below.min(HEIGHT - 1)
    };
    // Column by column.
    let mut picture = vec![[' '; HEIGHT]; columns];
    let mut best: Option<f64> = None;
    let mut points = points.iter().peekable();
    for (at, line) in picture.iter_mut().enumerate() {
        let mut here = Vec::new();
        while let Some((_, value)) = points.next_if(|(number, _)| column(*number) == at) {
            here.push(*value);
            best = Some(match best {
                Some(best) if is_maximized => best.max(*value),
                Some(best) => best.min(*value),
                None => *value,
            });
        }
        if let Some(best) = best {
            line[row(best)] = '─';
        }
        for value in here {
            line[row(value)] = '•';
        }
    }
    let mut text = format!("{title} by trial (• a trial, ─ the best so far)\n");
    for nth in 0..HEIGHT {
        let label = match nth {
            0 => shown(high),
            _ if nth == HEIGHT - 1 => shown(low),
            _ => String::new(),
        };
        let line: String = picture.iter().map(|column| column[nth]).collect();
        text += format!("{label:>10} │{line}").trim_end();
        text.push('\n');
    }
    let axis = "─".repeat(columns);
    let width = columns - 1;
    text + &format!("{:>10} └{axis}\n{:>10}  0{last:>width$}\n", "", "")
}

fn shown(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    format!("{value:.4}")
}

#[cfg(test)]
mod tests {
    use super::plot;

    #[test]
    fn a_picture_shows_every_trial_and_the_best() {
        let points = [(0, 3.0), (1, 1.0), (2, 2.0), (3, 0.5)];
        let picture = plot("loss", &points, false, 80);
        let lines: Vec<&str> = picture.lines().collect();
        assert_eq!(lines[0], "loss by trial (• a trial, ─ the best so far)");
        assert_eq!(lines[1], "    3.0000 │•──");
        assert_eq!(lines[12], "    0.5000 │         •──");
        assert_eq!(lines[14], "            0          3");
        // The title has one as well.
        assert_eq!(picture.matches('•').count(), 5);
        // All the same is a line in the middle.
        assert!(plot("x", &[(0, 1.0), (1, 1.0)], true, 20).contains("•──•──"));
    }
}
