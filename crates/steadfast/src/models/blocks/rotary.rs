//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864) in the layout of transformers: the
//! pair of element i is element i + size/2 of the columns that turn ("rotate half").

use super::attention::Heads;
use super::lanes::vectorized;
use crate::models::config::RotaryConfig;
use rayon::prelude::*;
use std::sync::{Arc, PoisonError, RwLock};

/// Positions that the first tables hold.
const FIRST: usize = 512;

/// One kind of rotary positions. Its tables grow with the positions that are asked for: a model's
/// whole context may be far longer than any text it is given.
#[derive(Debug)]
pub struct Rotary {
    usual: Growing,
    /// Those of texts longer than so many tokens, where they are others.
    long: Option<(usize, Growing)>,
}

/// Tables of one set of frequencies.
#[derive(Debug)]
struct Growing {
    frequencies: Vec<f32>,
    factor: f32,
    tables: RwLock<Arc<Tables>>,
}

/// Cosines and sines of the first positions, [positions, pairs] each.
#[derive(Debug, Default)]
pub struct Tables {
    /// Of the angles.
    pub cosines: Vec<f32>,
    /// Of the angles.
    pub sines: Vec<f32>,
    /// Pairs of columns that turn.
    pub half: usize,
}

/// Which way to turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// By the position's angle: the forward.
    Forth,
    /// Back by it: the transposed rotation, which is the backward.
    Back,
}

impl Rotary {
    /// `frequencies` are the angles a position, in radians, of each pair of columns.
    pub fn new(frequencies: Vec<f32>) -> Self {
        Self {
            usual: Growing::new(frequencies, 1.0),
            long: None,
        }
    }

    /// As a configuration says.
    pub fn of(config: &RotaryConfig) -> Self {
        let growing = |frequencies| Growing::new(frequencies, config.factor());
        let long = config.long_frequencies();
        Self {
            usual: growing(config.frequencies()),
            long: long.map(|(context, frequencies)| (context, growing(frequencies))),
        }
    }

    /// Whether long texts have positions of their own.
    pub fn changes_with_length(&self) -> bool {
        self.long.is_some()
    }

    /// Tables of at least the first `positions` positions, for texts that are so long: as in
    /// transformers, the longest of those read together decides for all.
    pub fn tables(&self, positions: usize) -> Arc<Tables> {
        match &self.long {
            Some((context, long)) if positions > *context => long.tables(positions),
            _ => self.usual.tables(positions),
        }
    }
}

impl Growing {
    /// Cosines and sines are multiplied by `factor`, which turns and enlarges at once.
    fn new(frequencies: Vec<f32>, factor: f32) -> Self {
        Self {
            tables: RwLock::new(Arc::new(Tables::new(0, &frequencies, factor))),
            frequencies,
            factor,
        }
    }

    fn tables(&self, positions: usize) -> Arc<Tables> {
        let held = |tables: &Tables| tables.cosines.len() >= positions * self.frequencies.len();
        {
            let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
            if held(&tables) {
                return tables.clone();
            }
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been here between the two locks.
        if !held(&tables) {
            let grown = positions.next_power_of_two().max(FIRST);
            *tables = Arc::new(Tables::new(grown, &self.frequencies, self.factor));
        }
        tables.clone()
    }
}

impl Tables {
    fn new(positions: usize, frequencies: &[f32], factor: f32) -> Self {
        let mut tables = Self {
            cosines: Vec::with_capacity(positions * frequencies.len()),
            sines: Vec::with_capacity(positions * frequencies.len()),
            half: frequencies.len(),
        };
        // transformers rounds the frequency and the angle to f32; so do we, to match it at
        // positions in the thousands.
        for position in 0..positions {
            for frequency in frequencies {
                let angle = f64::from(position as f32 * frequency);
                tables.cosines.push(angle.cos() as f32 * factor);
                tables.sines.push(angle.sin() as f32 * factor);
            }
        }
        tables
    }

    /// Turns the query and key heads of each row of `x` [rows, heads.width()] by the row's position.
    pub fn apply(&self, x: &mut [f32], heads: Heads, positions: &[u32], turn: Turn) {
        const ROWS: usize = 16;
        let half = self.half;
        let sign = match turn {
            Turn::Forth => 1.0,
            Turn::Back => -1.0,
        };
        x.par_chunks_mut(ROWS * heads.width())
            .zip(positions.par_chunks(ROWS))
            .for_each(|(x, positions)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for (row, &position) in x.chunks_exact_mut(heads.width()).zip(positions) {
                            let at = position as usize * half;
                            let cosines = &self.cosines[at..at + half];
                            let sines = &self.sines[at..at + half];
                            for head in 0..heads.query + heads.key_value {
                                let column = heads.turned_column(head);
                                let (first, second) =
                                    row[column..column + 2 * half].split_at_mut(half);
                                for (((first, second), cosine), sine) in
                                    first.iter_mut().zip(second).zip(cosines).zip(sines)
                                {
                                    let sine = sine * sign;
                                    let (x, y) = (*first, *second);
                                    *first = x * cosine - y * sine;
                                    *second = y * cosine + x * sine;
                                }
                            }
                        }
                    },
                );
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_grow_and_stay_the_same() {
        let rotary = Rotary::new(vec![1.0, 0.25]);
        let few = rotary.tables(3);
        let more = rotary.tables(FIRST + 1);
        assert_eq!(few.cosines.len(), FIRST * 2);
        assert_eq!(more.cosines.len(), FIRST * 4);
        assert_eq!(few.cosines[..], more.cosines[..FIRST * 2]);
        assert!(Arc::ptr_eq(&more, &rotary.tables(2)));
    }

    #[test]
    fn columns_beyond_the_pairs_stay_and_turning_back_undoes() {
        let heads = Heads {
            query: 2,
            key_value: 2,
            size: 6,
            interleaved: true,
        };
        let before: Vec<f32> = (0..36).map(|place| place as f32).collect();
        let mut x = before.clone();
        let tables = Rotary::new(vec![0.7, 0.1]).tables(10);
        tables.apply(&mut x, heads, &[9], Turn::Forth);
        for (place, (x, before)) in x.iter().zip(&before).enumerate() {
            // Of each head's 18 columns: query, key, value, of which four, four and none turn.
            let turns = place % 18 < 12 && place % 6 < 4;
            assert_eq!(
                x == before,
                !turns || *before == 0.0 && x == before,
                "{place}"
            );
        }
        tables.apply(&mut x, heads, &[9], Turn::Back);
        for (x, before) in x.iter().zip(&before) {
            assert!((x - before).abs() < 1e-4);
        }
    }
}
