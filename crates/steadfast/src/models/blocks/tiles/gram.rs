//! Sums of outer products, of which one triangle is computed: both sides of a tile are strips.

use super::super::buffers::{Buffer, Pool};
use super::operands::pack_strips;
use super::{GRAIN, PIECE, Rows, STEPS, Sums, TALL, Tiled, WIDE};
use super::{add_sums, nothing, row_of, run, tile_of};
use faer::MatMut;
use pulp::Simd;
use rayon::prelude::*;

/// sums += tallᵀ × panel, both laid out in steps.
#[inline(always)]
fn accumulate_strips<S: Simd, const V: usize>(
    simd: S,
    panel: &[f32],
    tall: &[f32],
    sums: &mut Sums<S, V>,
) {
    let (steps, _) = S::as_simd_f32s(panel).0.as_chunks::<V>();
    let (tall, _) = tall.as_chunks::<TALL>();
    for (tall, steps) in tall.chunks(STEPS).zip(steps.chunks(STEPS)) {
        let mut held = nothing::<S, V>(simd);
        for (factors, step) in tall.iter().zip(steps) {
            for row in 0..TALL {
                let factor = simd.splat_f32s(factors[row]);
                for vector in 0..V {
                    held[row][vector] =
                        simd.mul_add_e_f32s(factor, step[vector], held[row][vector]);
                }
            }
        }
        add_sums::<S, V>(simd, &held, sums);
    }
}

/// Lower triangle of to [width, width] += xᵀ·x for x [rows, width], on all threads. Above it only
/// the tiles on the diagonal are written.
pub fn add_gram(mut to: MatMut<'_, f32>, pool: &Pool, x: &[f32]) {
    let width = to.ncols();
    // Some panels of this many steps fit the second cache.
    for x in x.chunks(width * 4 * STEPS) {
        let rows = x.len() / width;
        let x = Rows::of(x, width);
        let wide = strips_of::<WIDE>(pool, x, rows);
        let tall = strips_of::<TALL>(pool, x, rows);
        spread_gram(GramPiece {
            to: to.as_mut(),
            tall: &tall,
            wide: &wide,
            rows,
        });
    }
}

/// All columns of x as strips, [columns / N, rows, N].
fn strips_of<const N: usize>(pool: &Pool, x: Rows<'_>, rows: usize) -> Buffer {
    let mut strips = pool.take(x.width.div_ceil(N) * rows * N);
    strips
        .par_chunks_exact_mut(rows * N)
        .enumerate()
        .for_each(|(index, strip)| {
            let start = index * N;
            pack_strips::<N>(strip, x.columns(start, x.width - start), 0, rows);
        });
    strips
}

struct GramPiece<'a> {
    to: MatMut<'a, f32>,
    /// Strips of the columns that are the piece's rows.
    tall: &'a [f32],
    /// Strips of the columns that are the piece's columns.
    wide: &'a [f32],
    rows: usize,
}

/// The lower triangle of a piece on the diagonal.
fn spread_gram(piece: GramPiece<'_>) {
    let width = piece.to.ncols();
    if width <= GRAIN {
        return run(piece);
    }
    let middle = (width / 2).next_multiple_of(GRAIN);
    let (top, _, below, bottom) = piece.to.split_at_mut(middle, middle);
    let (tall, wide, rows) = (piece.tall, piece.wide, piece.rows);
    let (later_tall, later_wide) = (&tall[middle * rows..], &wide[middle * rows..]);
    let piece = |to, tall, wide| GramPiece {
        to,
        tall,
        wide,
        rows,
    };
    let (top, below, bottom) = (
        piece(top, tall, wide),
        piece(below, later_tall, wide),
        piece(bottom, later_tall, later_wide),
    );
    rayon::join(
        || spread_whole(below),
        || rayon::join(|| spread_gram(top), || spread_gram(bottom)),
    );
}

/// All of a piece beside the diagonal.
fn spread_whole(piece: GramPiece<'_>) {
    let (rows, columns) = (piece.to.nrows(), piece.to.ncols());
    let longer = rows.max(columns);
    if rows * columns * piece.rows <= PIECE || longer < 2 * GRAIN {
        return run(piece);
    }
    let middle = (longer / 2).next_multiple_of(GRAIN);
    let GramPiece {
        to,
        tall,
        wide,
        rows: steps,
    } = piece;
    let piece = |to, tall, wide| GramPiece {
        to,
        tall,
        wide,
        rows: steps,
    };
    let (one, other) = if columns >= rows {
        let (one, other) = to.split_at_col_mut(middle);
        let later = &wide[middle * steps..];
        (piece(one, tall, wide), piece(other, tall, later))
    } else {
        let (one, other) = to.split_at_row_mut(middle);
        let later = &tall[middle * steps..];
        (piece(one, tall, wide), piece(other, later, wide))
    };
    rayon::join(|| spread_whole(one), || spread_whole(other));
}

impl Tiled for GramPiece<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(mut self, simd: S) {
        let (height, width) = (self.to.nrows(), self.to.ncols());
        let (talls, wides) = (self.rows * TALL, self.rows * WIDE);
        for (row, tall) in (0..height).step_by(TALL).zip(self.tall.chunks_exact(talls)) {
            let count = TALL.min(height - row);
            for (column, wide) in (0..width).step_by(WIDE).zip(self.wide.chunks_exact(wides)) {
                let mut sums = nothing::<S, V>(simd);
                accumulate_strips(simd, wide, tall, &mut sums);
                let across = WIDE.min(width - column);
                for (line, tile) in tile_of::<S, V>(&sums).iter().take(count).enumerate() {
                    let to = &mut row_of(&mut self.to, row + line)[column..][..across];
                    for (to, more) in to.iter_mut().zip(tile) {
                        *to += more;
                    }
                }
            }
        }
    }
}
