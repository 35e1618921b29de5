//! The two sides of a tile: rows as they lie, and panels in the order in which they are read.

use super::super::buffers::{Buffer, Pool};
use super::WIDE;
use rayon::prelude::*;

/// A row-major matrix, or some columns of one.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
    pub(super) width: usize,
}

impl<'a> Rows<'a> {
    /// All columns of a matrix that is `width` wide.
    pub fn of(data: &'a [f32], width: usize) -> Self {
        Self {
            data,
            stride: width,
            width,
        }
    }

    /// The `width` columns from `start`.
    pub fn columns(self, start: usize, width: usize) -> Self {
        Self {
            data: &self.data[start.min(self.data.len())..],
            stride: self.stride,
            width,
        }
    }

    /// The rows from `start` on.
    pub fn from_row(self, start: usize) -> Self {
        Self {
            data: &self.data[(start * self.stride).min(self.data.len())..],
            ..self
        }
    }

    #[inline(always)]
    pub(super) fn row(self, index: usize) -> &'a [f32] {
        &self.data[index * self.stride..][..self.width]
    }
}

/// Rows side by side, [`WIDE`] together: [rows / WIDE, depth, WIDE], the last filled with zeros.
#[derive(Debug)]
pub struct Panels {
    pub(super) data: Buffer,
    pub(super) rows: usize,
    pub(super) depth: usize,
}

impl Panels {
    pub(super) fn empty(pool: &Pool, rows: usize, depth: usize) -> Self {
        Self {
            data: pool.take(rows.div_ceil(WIDE) * depth * WIDE),
            rows,
            depth,
        }
    }

    /// Copies x [rows, depth].
    pub fn pack(pool: &Pool, x: &[f32], depth: usize) -> Self {
        let mut panels = Self::empty(pool, x.len() / depth, depth);
        panels
            .data
            .par_chunks_exact_mut(depth * WIDE)
            .zip(x.par_chunks(depth * WIDE))
            .for_each(|(panel, rows)| transpose(panel, rows, depth));
        panels
    }

    /// The numbers as [rows, depth] again.
    pub fn unpack(&self, pool: &Pool) -> Buffer {
        let mut rows = pool.take(self.rows * self.depth);
        for (index, row) in rows.chunks_exact_mut(self.depth).enumerate() {
            let panel = self.panel(index / WIDE);
            for (to, step) in row.iter_mut().zip(panel.chunks_exact(WIDE)) {
                *to = step[index % WIDE];
            }
        }
        rows
    }

    pub(super) fn panel(&self, index: usize) -> &[f32] {
        &self.data[index * self.depth * WIDE..][..self.depth * WIDE]
    }
}

/// Writes up to [`WIDE`] rows as one panel.
fn transpose(panel: &mut [f32], rows: &[f32], depth: usize) {
    const STEPS: usize = 16;
    if rows.len() < depth * WIDE {
        panel.fill(0.0);
    }
    let (blocks, rest) = panel.as_chunks_mut::<{ STEPS * WIDE }>();
    for (lane, row) in rows.chunks_exact(depth).enumerate() {
        let (row_blocks, row_rest) = row.as_chunks::<STEPS>();
        for (block, steps) in blocks.iter_mut().zip(row_blocks) {
            for (step, value) in steps.iter().enumerate() {
                block[step * WIDE + lane] = *value;
            }
        }
        for (step, value) in row_rest.iter().enumerate() {
            rest[step * WIDE + lane] = *value;
        }
    }
}

/// Copies columns of `from`, N together, as strips of `steps` steps: [columns / N, steps, N].
#[inline(always)]
pub(super) fn pack_strips<const N: usize>(
    strips: &mut [f32],
    from: Rows<'_>,
    first: usize,
    steps: usize,
) {
    for (index, strip) in strips.chunks_exact_mut(steps * N).enumerate() {
        let start = index * N;
        for (step, to) in strip.as_chunks_mut::<N>().0.iter_mut().enumerate() {
            let row = &from.row(first + step)[start..];
            match row.first_chunk::<N>() {
                Some(whole) => *to = *whole,
                None => {
                    *to = [0.0; N];
                    to[..row.len()].copy_from_slice(row);
                }
            }
        }
    }
}
