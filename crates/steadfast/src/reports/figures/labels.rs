//! Room for the names of points: none stands on another, on a point or outside the plot.

use crate::reports::svg;

/// Left, top, right, bottom.
pub(super) type Area = [f64; 4];

/// Size of a name beside its point.
pub(super) const NAME: f64 = 12.0;
/// Size of a number that stands for a name.
pub(super) const NUMBER: f64 = 11.0;
/// Half of a point's own room: what else lies there is covered by it anyway.
pub(super) const OWN: f64 = 7.0;
/// Farther away a number is no longer seen to belong to its point.
const FARTHEST: f64 = 90.0;

/// What of a plot is taken.
pub(super) struct Room {
    frame: Area,
    /// Points and labels: nothing may cover them.
    taken: Vec<Area>,
    /// Intervals: labels keep clear of them while that can be.
    lines: Vec<Area>,
}

/// A square around a place.
pub(super) fn around(centre: (f64, f64), half: f64) -> Area {
    [
        centre.0 - half,
        centre.1 - half,
        centre.0 + half,
        centre.1 + half,
    ]
}

/// The area of a line of text whose baseline begins there.
fn of_text(width: f64, size: f64, at: (f64, f64)) -> Area {
    [
        at.0 - 1.0,
        at.1 - 0.9 * size,
        at.0 + width + 1.0,
        at.1 + 0.28 * size,
    ]
}

fn apart(one: &Area, other: &Area) -> bool {
    one[2] < other[0] || other[2] < one[0] || one[3] < other[1] || other[3] < one[1]
}

impl Room {
    pub fn new(frame: Area, points: Vec<Area>, lines: Vec<Area>) -> Self {
        Self {
            frame,
            taken: points,
            lines,
        }
    }

    fn is_free(&self, area: &Area, over_lines: bool) -> bool {
        let inside = area[0] >= self.frame[0]
            && area[1] >= self.frame[1]
            && area[2] <= self.frame[2]
            && area[3] <= self.frame[3];
        let clear = |others: &[Area]| others.iter().all(|other| apart(area, other));
        inside && clear(&self.taken) && (over_lines || clear(&self.lines))
    }

    /// Takes the first place for a name among eight beside its point, clear of everything; the start of
    /// its baseline. The diagonals come first, since intervals run along the axes.
    pub fn name(&mut self, text: &str, centre: (f64, f64)) -> Option<(f64, f64)> {
        let width = svg::text_width(text, NAME);
        let (right, left) = (centre.0 + 9.0, centre.0 - 9.0 - width);
        let (up, down) = (centre.1 - 8.0, centre.1 + 18.0);
        let middle = (centre.0 - width / 2.0, centre.1 + 4.0);
        let places = [
            (right, up),
            (right, down),
            (left, up),
            (left, down),
            (right, middle.1),
            (left, middle.1),
            (middle.0, up - 4.0),
            (middle.0, down + 4.0),
        ];
        let areas = places.map(|at| (of_text(width, NAME, at), at));
        let (area, at) = areas
            .into_iter()
            .find(|(area, _)| self.is_free(area, false))?;
        self.taken.push(area);
        Some(at)
    }

    /// Whether a line between two places, the first of which is a point, meets no label and no other
    /// point.
    fn is_open(&self, point: (f64, f64), end: (f64, f64)) -> bool {
        let length = (end.0 - point.0).hypot(end.1 - point.1);
        // Steps finer than the smallest of what may lie between.
        let steps = (length / 3.0).ceil() as usize;
        let own = around(point, OWN);
        (1..steps).all(|step| {
            let share = step as f64 / steps as f64;
            let at = (
                point.0 + share * (end.0 - point.0),
                point.1 + share * (end.1 - point.1),
            );
            let here = around(at, 0.5);
            !apart(&here, &own) || self.taken.iter().all(|other| apart(&here, other))
        })
    }

    /// Takes the nearest free place for a number, over intervals where there is no other; the start of its
    /// baseline.
    pub fn number(&mut self, text: &str, centre: (f64, f64)) -> Option<(f64, f64)> {
        const DIRECTIONS: usize = 16;
        let width = svg::text_width(text, NUMBER);
        for over_lines in [false, true] {
            let mut distance = 13.0;
            while distance < FARTHEST {
                for direction in 0..DIRECTIONS {
                    // From the upper right on, as names do.
                    let angle =
                        (direction as f64 / DIRECTIONS as f64 - 0.125) * std::f64::consts::TAU;
                    let at = (
                        centre.0 + distance * angle.cos() - width / 2.0,
                        centre.1 + distance * angle.sin() + 0.36 * NUMBER,
                    );
                    let area = of_text(width, NUMBER, at);
                    let middle = (at.0 + width / 2.0, at.1 - 0.36 * NUMBER);
                    if self.is_free(&area, over_lines) && self.is_open(centre, middle) {
                        self.taken.push(area);
                        return Some(at);
                    }
                }
                distance += 4.0;
            }
        }
        None
    }
}
