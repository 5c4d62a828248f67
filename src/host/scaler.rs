//! How many processes a deployment shall have, by its load.

use api::deployments::Scale;

/// Looks in a row at which there was less to do before processes are ended. In Azure it is minutes.
const LOOKS_BEFORE_FEWER: u32 = 60;

/// Decides by one look after another.
pub struct Scaler {
    scale: Scale,
    /// Requests that one process answers at once.
    capacity: u32,
    /// The most that was needed in the looks at which it was less than there are, and their number.
    fewer: Option<(u32, u32)>,
}

impl Scaler {
    pub fn new(scale: Scale, capacity: Option<u32>) -> Self {
        Self {
            scale,
            capacity: capacity.unwrap_or(1).max(1),
            fewer: None,
        }
    }

    /// How many processes there shall be when there are `now` with so many requests at them. More at
    /// once, fewer only after a while.
    pub fn look(&mut self, now: u32, busy: usize) -> u32 {
        let aimed = u64::from(self.capacity) * u64::from(self.scale.target_percent);
        let needed = (busy as u64 * 100).div_ceil(aimed.max(1));
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        let needed = needed.clamp(self.scale.min, self.scale.max);
        if needed >= now {
            self.fewer = None;
            return needed;
        }
        let (most, looks) = self.fewer.unwrap_or((0, 0));
        let (most, looks) = (most.max(needed), looks + 1);
        if looks < LOOKS_BEFORE_FEWER {
            self.fewer = Some((most, looks));
            return now;
        }
        self.fewer = None;
        most
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOKS_BEFORE_FEWER, Scale, Scaler};

    fn scaler(min: u32, max: u32, capacity: u32) -> Scaler {
        let scale = Scale {
            min,
            max,
            target_percent: 50,
            polling_seconds: 1,
        };
        Scaler::new(scale, Some(capacity))
    }

    #[test]
    fn more_come_at_once_and_never_too_many() {
        let mut scaler = scaler(1, 4, 2);
        assert_eq!(scaler.look(1, 0), 1);
        assert_eq!(scaler.look(1, 1), 1);
        assert_eq!(scaler.look(1, 3), 3);
        assert_eq!(scaler.look(3, 99), 4);
    }

    #[test]
    fn fewer_stay_only_after_a_while_and_as_many_as_were_needed_in_it() {
        let mut scaler = scaler(0, 4, 2);
        for look in 1..LOOKS_BEFORE_FEWER {
            assert_eq!(scaler.look(4, usize::from(look == 7) * 2), 4);
        }
        assert_eq!(scaler.look(4, 0), 2);
        for _ in 1..LOOKS_BEFORE_FEWER {
            assert_eq!(scaler.look(2, 0), 2);
        }
        assert_eq!(scaler.look(2, 0), 0);
    }

    #[test]
    fn a_load_in_between_begins_the_while_anew() {
        let mut scaler = scaler(1, 4, 1);
        for _ in 1..LOOKS_BEFORE_FEWER {
            assert_eq!(scaler.look(2, 0), 2);
        }
        assert_eq!(scaler.look(2, 1), 2);
        assert_eq!(scaler.look(2, 0), 2);
    }
}
