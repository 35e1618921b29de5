//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864) in the layout of transformers: the
//! pair of element i is element i + size/2 of the same head ("rotate half").

use super::lanes::vectorized;
use rayon::prelude::*;

/// Cosines and sines of every position, [positions, head size / 2] each.
#[derive(Debug)]
pub struct Rotary {
    cosines: Vec<f32>,
    sines: Vec<f32>,
    half: usize,
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
    /// Tables for `positions` positions of heads `head_size` wide.
    pub fn new(positions: usize, head_size: usize, theta: f64) -> Self {
        let half = head_size / 2;
        let mut cosines = Vec::with_capacity(positions * half);
        let mut sines = Vec::with_capacity(positions * half);
        // transformers rounds the frequency and the angle to f32; so do we, to match it at
        // positions in the thousands.
        let frequencies: Vec<f32> = (0..half)
            .map(|pair| theta.powf(-2.0 * pair as f64 / head_size as f64) as f32)
            .collect();
        for position in 0..positions {
            for frequency in &frequencies {
                let angle = f64::from(position as f32 * frequency);
                cosines.push(angle.cos() as f32);
                sines.push(angle.sin() as f32);
            }
        }
        Self {
            cosines,
            sines,
            half,
        }
    }

    /// Cosines, sines and the width of their rows.
    pub fn tables(&self) -> (&[f32], &[f32], usize) {
        (&self.cosines, &self.sines, self.half)
    }

    /// Turns the first `heads` heads of each row of `x` [rows, stride] by the row's position.
    pub fn apply(&self, x: &mut [f32], stride: usize, heads: usize, positions: &[u32], turn: Turn) {
        const ROWS: usize = 16;
        let half = self.half;
        let sign = match turn {
            Turn::Forth => 1.0,
            Turn::Back => -1.0,
        };
        x.par_chunks_mut(ROWS * stride)
            .zip(positions.par_chunks(ROWS))
            .for_each(|(x, positions)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for (row, &position) in x.chunks_exact_mut(stride).zip(positions) {
                            let at = position as usize * half;
                            let cosines = &self.cosines[at..at + half];
                            let sines = &self.sines[at..at + half];
                            for head in row[..heads * 2 * half].chunks_exact_mut(2 * half) {
                                let (first, second) = head.split_at_mut(half);
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
