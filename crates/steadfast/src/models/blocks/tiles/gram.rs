//! Sums of outer products, of which one triangle is computed: both sides of a tile are strips.

use super::super::buffers::{Buffer, Pool};
use super::operands::pack_strips;
use super::{GRAIN, PIECE, Rows, STEPS, Sums, TALL, Tiled, WIDE};
use super::{add_sums, multiply_add, nothing, run, store, strips_in};
use faer::MatMut;
use pulp::Simd;
use rayon::prelude::*;

/// sums += tallᵀ × panel for each of P panels, all laid out in steps.
#[inline(always)]
fn accumulate_strips<S: Simd, const V: usize, const P: usize>(
    simd: S,
    panels: [&[f32]; P],
    tall: &[f32],
    sums: &mut [Sums<S, V>; P],
) {
    let panels = panels.map(|panel| S::as_simd_f32s(panel).0.as_chunks::<V>().0);
    let tall = tall.as_chunks::<TALL>().0;
    for start in (0..tall.len()).step_by(STEPS) {
        let end = tall.len().min(start + STEPS);
        let (tall, steps) = (&tall[start..end], panels.map(|panel| &panel[start..end]));
        let mut held = [nothing::<S, V>(simd); P];
        for (place, factors) in tall.iter().enumerate() {
            multiply_add(simd, factors, steps.map(|steps| &steps[place]), &mut held);
        }
        add_sums(simd, &held, sums);
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
        let (wide, tall) = sides(pool, x, rows);
        spread_gram(GramPiece {
            to: to.as_mut(),
            tall: &tall,
            wide: &wide,
            rows,
        });
    }
}

/// The columns of x as both sides of a tile.
pub(super) fn sides(pool: &Pool, x: Rows<'_>, rows: usize) -> (Buffer, Buffer) {
    (
        strips_of::<WIDE>(pool, x, rows),
        strips_of::<TALL>(pool, x, rows),
    )
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

pub(super) struct GramPiece<'a> {
    pub(super) to: MatMut<'a, f32>,
    /// Strips of the columns that are the piece's rows.
    pub(super) tall: &'a [f32],
    /// Strips of the columns that are the piece's columns.
    pub(super) wide: &'a [f32],
    pub(super) rows: usize,
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

impl GramPiece<'_> {
    /// Adds P tiles side by side: of the rows from `row` on and of the columns from `column` on.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const P: usize>(
        &mut self,
        simd: S,
        (row, column): (usize, usize),
        tall: &[f32],
        wide: [&[f32]; P],
    ) {
        let mut sums = [nothing::<S, V>(simd); P];
        accumulate_strips(simd, wide, tall, &mut sums);
        for (index, sums) in sums.iter().enumerate() {
            let place = (row, column + index * WIDE);
            store::<S, V>(&mut self.to, place, sums, |to, more| *to += more);
        }
    }
}

impl Tiled for GramPiece<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize, const P: usize>(mut self, simd: S) {
        let (height, width) = (self.to.nrows(), self.to.ncols());
        let (talls, wides) = (self.rows * TALL, self.rows * WIDE);
        let wide = &self.wide[..width.div_ceil(WIDE) * wides];
        for (row, tall) in (0..height).step_by(TALL).zip(self.tall.chunks_exact(talls)) {
            for (index, together) in wide.chunks(P * wides).enumerate() {
                let place = (row, index * P * WIDE);
                match strips_in::<P>(together, self.rows) {
                    Some(wide) => self.tiles::<S, V, P>(simd, place, tall, wide),
                    None => self.tiles::<S, V, 1>(simd, place, tall, [together]),
                }
            }
        }
    }
}
