//! How the points of one metric of a run are packed into chunks, and taken out again.
//!
//! A chunk is a row: its first point is the row's key, the others are packed behind it, in order,
//! each as its difference from the one before. Some ten bytes a point and one row for about ninety
//! of them make logging and reading a history cost what its bytes cost.

use super::metrics::{order_bits, value_of};
use api::metrics::{MetricPoint, Value};

/// Bytes behind a chunk's first point at most: four such rows fill a page of the database, and none
/// spills over into pages of its own.
const CHUNK: usize = 930;

/// A point as it is sorted: by step, time and value. Equal ones are the same point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub step: i64,
    pub timestamp: i64,
    pub order_bits: i64,
}

impl Place {
    pub const FIRST: Self = Self::before(i64::MIN);

    /// Before all points of a step.
    pub const fn before(step: i64) -> Self {
        Self {
            step,
            timestamp: i64::MIN,
            order_bits: i64::MIN,
        }
    }

    /// After all points of a step.
    pub const fn after(step: i64) -> Self {
        Self {
            step,
            timestamp: i64::MAX,
            order_bits: i64::MAX,
        }
    }

    pub fn new(step: i64, timestamp: i64, value: f64) -> Self {
        Self {
            step,
            timestamp,
            order_bits: order_bits(value),
        }
    }

    pub fn value(&self) -> f64 {
        value_of(self.order_bits)
    }

    /// The point of the metric `key` at this place.
    pub fn named(&self, key: &str) -> MetricPoint {
        MetricPoint {
            key: key.to_owned(),
            step: self.step,
            timestamp: Some(self.timestamp),
            value: Value(self.value()),
        }
    }
}

/// A row: `first` and, packed, what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub first: Place,
    pub rest: Vec<u8>,
}

impl Chunk {
    fn new(first: Place) -> Self {
        Self {
            first,
            rest: Vec::new(),
        }
    }

    /// The points in order. Damaged bytes end the list.
    pub fn points(&self) -> Points<'_> {
        Points {
            next: Some(self.first),
            rest: &self.rest,
        }
    }
}

pub struct Points<'a> {
    next: Option<Place>,
    rest: &'a [u8],
}

impl Iterator for Points<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let point = self.next?;
        self.next = unpack(&mut self.rest, &point);
        Some(point)
    }
}

/// Packs points, which are in order and all different, into as few chunks as hold them.
pub struct Packer {
    full: Vec<Chunk>,
    open: Chunk,
    last: Place,
}

impl Packer {
    pub fn new(first: Place) -> Self {
        Self {
            full: Vec::new(),
            open: Chunk::new(first),
            last: first,
        }
    }

    /// Goes on behind the last point of a chunk.
    pub fn behind(chunk: Chunk, last: Place) -> Self {
        Self {
            full: Vec::new(),
            open: chunk,
            last,
        }
    }

    pub fn push(&mut self, point: Place) {
        let before = self.open.rest.len();
        pack(&mut self.open.rest, &self.last, &point);
        if self.open.rest.len() > CHUNK {
            self.open.rest.truncate(before);
            let full = std::mem::replace(&mut self.open, Chunk::new(point));
            self.full.push(full);
        }
        self.last = point;
    }

    pub fn push_all(&mut self, points: &[Place]) {
        for point in points {
            self.push(*point);
        }
    }

    pub fn finish(mut self) -> Vec<Chunk> {
        self.full.push(self.open);
        self.full
    }
}

fn pack(bytes: &mut Vec<u8>, last: &Place, point: &Place) {
    pack_number(bytes, point.step.wrapping_sub(last.step));
    pack_number(bytes, point.timestamp.wrapping_sub(last.timestamp));
    // Values near each other share their upper bytes, round ones have no lower bytes.
    let changed = (point.order_bits ^ last.order_bits).to_be_bytes();
    let begin = changed.iter().take_while(|byte| **byte == 0).count();
    let end = 8 - changed.iter().rev().take_while(|byte| **byte == 0).count();
    let part = changed.get(begin..end).unwrap_or_default();
    // Both are at most 8.
    bytes.push(u8::try_from(begin << 4 | part.len()).unwrap_or_default());
    bytes.extend_from_slice(part);
}

fn unpack(bytes: &mut &[u8], last: &Place) -> Option<Place> {
    let step = unpack_number(bytes)?;
    let timestamp = unpack_number(bytes)?;
    let shape = usize::from(*bytes.split_off_first()?);
    let (begin, length) = (shape >> 4, shape & 15);
    let mut changed = [0; 8];
    changed
        .get_mut(begin..begin + length)?
        .copy_from_slice(bytes.split_off(..length)?);
    Some(Place {
        step: last.step.wrapping_add(step),
        timestamp: last.timestamp.wrapping_add(timestamp),
        order_bits: last.order_bits ^ i64::from_be_bytes(changed),
    })
}

/// Seven bits a byte, small numbers of either sign in few of them.
fn pack_number(bytes: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left >= 0x80 {
        bytes.push(0x80 | u8::try_from(left & 0x7f).unwrap_or_default());
        left >>= 7;
    }
    bytes.push(u8::try_from(left).unwrap_or_default());
}

fn unpack_number(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Packer, Place};

    fn place(step: i64, timestamp: i64, value: f64) -> Place {
        Place::new(step, timestamp, value)
    }

    fn packed(points: &[Place]) -> Vec<super::Chunk> {
        let mut packer = Packer::new(points[0]);
        packer.push_all(&points[1..]);
        packer.finish()
    }

    #[test]
    fn points_come_back_as_they_were() {
        let extremes = [i64::MIN, -1, 0, 1, i64::MAX];
        let values = [f64::NEG_INFINITY, -0.0, 0.0, 1e-300, 0.1, f64::NAN];
        let mut points: Vec<Place> = extremes
            .iter()
            .flat_map(|step| extremes.iter().map(move |time| (*step, *time)))
            .flat_map(|(step, time)| values.map(|value| place(step, time, value)))
            .collect();
        points.sort_unstable();
        let chunks = packed(&points);
        let back: Vec<Place> = chunks.iter().flat_map(super::Chunk::points).collect();
        assert_eq!(back, points);
        assert!(chunks.iter().all(|chunk| chunk.rest.len() <= CHUNK));
        assert!(chunks.len() > 1);
    }

    #[test]
    fn an_ordinary_history_takes_about_ten_bytes_a_point() {
        let points: Vec<Place> = (0..10_000_i32)
            .map(|step| {
                place(
                    step.into(),
                    i64::from(step) * 250,
                    (f64::from(step) * 0.01).sin(),
                )
            })
            .collect();
        let chunks = packed(&points);
        let bytes: usize = chunks.iter().map(|chunk| chunk.rest.len()).sum();
        assert!(bytes < 12 * points.len(), "{bytes}");
        assert!(chunks.len() < points.len() / 70, "{}", chunks.len());
    }

    #[test]
    fn packing_goes_on_behind_a_chunk() {
        let points: Vec<Place> = (0..300).map(|step| place(step, step * 7, 0.1)).collect();
        let first = packed(&points[..20]).remove(0);
        let mut packer = Packer::behind(first, points[19]);
        packer.push_all(&points[20..]);
        assert_eq!(packer.finish(), packed(&points));
    }

    #[test]
    fn damaged_bytes_end_the_list() {
        let points: Vec<Place> = (0..20).map(|step| place(step, step, 0.1)).collect();
        let mut chunk = packed(&points).remove(0);
        chunk.rest.truncate(chunk.rest.len() - 1);
        assert_eq!(chunk.points().count(), 19);
        chunk.rest = vec![0xff; 40];
        assert_eq!(chunk.points().count(), 1);
    }
}
