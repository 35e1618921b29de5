//! The matrix products of the hot path, cut into tiles that stay in registers.
//!
//! One side of a tile is a *panel*: [`WIDE`] numbers for each step of the sum, laid out in the order
//! in which they are read. The other side is [`TALL`] rows read as they lie, each number of which is
//! multiplied with the whole panel step. So only the smaller operand, or a strip of the larger that
//! fits the nearest cache, is ever copied; weights are read where they are. A general product
//! packs both sides anew each time, which for the few dozen rows of a generation step costs more
//! than the arithmetic, and knows nothing of sums of products, which is what a layer with an
//! adapter is: x·Wᵀ + (x·Aᵀ)·Bᵀ is one pass here, the output written once. With AVX-512 a panel step
//! is one register, and tiles go in pairs that share the rows' numbers.
//!
//! Each output is summed in a fixed order, however the work is cut: one thread and many give the
//! same bits, and so do AVX2 and AVX-512. Sums of [`STEPS`] products are added to the total one by
//! one, which keeps the rounding of long sums (the vocabulary is one) small.

use super::buffers::Pool;
use faer::MatMut;
use operands::pack_strips;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

mod gram;
mod operands;

pub use gram::add_gram;
pub use operands::{Panels, Rows};

/// Width of a panel: two AVX2 registers, or one of AVX-512.
const WIDE: usize = 16;
/// Rows of a tile; with two registers each they leave four of AVX2's for the operands.
const TALL: usize = 6;
/// Pieces begin at multiples of this, which both sides of a tile divide.
const GRAIN: usize = 48;
/// Multiply-adds of one piece of a product: about a sixth of a millisecond on one core.
const PIECE: usize = 8 << 20;
/// Columns of one piece of [`back`] where there are many rows: its strips fit the second cache.
const COLUMNS: usize = 2 * GRAIN;
/// Rows of one piece of [`back`]: enough to be worth copying the strips.
const ROWS: usize = 512;
/// Panels that share the rows of a tile while these are in the nearest cache.
const BLOCK: usize = 4;
/// Steps of a strip: 16 KB, half of the nearest cache.
const STEPS: usize = 256;

/// The sums of a tile as they lie in registers: V vectors for each of [`TALL`] rows.
type Sums<S, const V: usize> = [[<S as Simd>::f32s; V]; TALL];

/// Runs a piece of work with the vectors of this machine. A panel step is V of them, and P panels, one
/// or two, are read together where there are as many.
trait Tiled {
    fn run<S: Simd, const V: usize, const P: usize>(self, simd: S);
}

struct Dispatch<Work>(Work);

impl<Work: Tiled> WithSimd for Dispatch<Work> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.0.run::<S, 1, 2>(simd),
            8 => self.0.run::<S, 2, 1>(simd),
            4 => self.0.run::<S, 4, 1>(simd),
            _ => self.0.run::<S, WIDE, 1>(simd),
        }
    }
}

fn run(work: impl Tiled) {
    pulp::Arch::new().dispatch(Dispatch(work));
}

#[inline(always)]
fn nothing<S: Simd, const V: usize>(simd: S) -> Sums<S, V> {
    [[simd.splat_f32s(0.0); V]; TALL]
}

/// sums += rows × panel for each of P panels, over their whole depth.
#[inline(always)]
fn accumulate<S: Simd, const V: usize, const P: usize>(
    simd: S,
    panels: [&[f32]; P],
    rows: [&[f32]; TALL],
    sums: &mut [Sums<S, V>; P],
) {
    let panels = panels.map(|panel| S::as_simd_f32s(panel).0.as_chunks::<V>().0);
    let depth = panels[0].len();
    let [a, b, c, d, e, f] = rows;
    for start in (0..depth).step_by(STEPS) {
        let end = depth.min(start + STEPS);
        // Slices of one length: nothing is left to check inside the loop.
        let rows = [
            &a[start..end],
            &b[start..end],
            &c[start..end],
            &d[start..end],
            &e[start..end],
            &f[start..end],
        ];
        let steps = panels.map(|panel| &panel[start..end]);
        let mut held = [nothing::<S, V>(simd); P];
        for place in 0..end - start {
            let factors = rows.map(|row| row[place]);
            multiply_add(simd, &factors, steps.map(|steps| &steps[place]), &mut held);
        }
        add_sums(simd, &held, sums);
    }
}

/// Adds to each tile what one step gives: the factors of its rows times the panel's numbers.
#[inline(always)]
fn multiply_add<S: Simd, const V: usize, const P: usize>(
    simd: S,
    factors: &[f32; TALL],
    steps: [&[S::f32s; V]; P],
    sums: &mut [Sums<S, V>; P],
) {
    for (row, factor) in factors.iter().enumerate() {
        let factor = simd.splat_f32s(*factor);
        for (sums, step) in sums.iter_mut().zip(steps) {
            for (sum, &step) in sums[row].iter_mut().zip(step) {
                *sum = simd.mul_add_e_f32s(factor, step, *sum);
            }
        }
    }
}

#[inline(always)]
fn add_sums<S: Simd, const V: usize, const P: usize>(
    simd: S,
    more: &[Sums<S, V>; P],
    sums: &mut [Sums<S, V>; P],
) {
    for (sum, more) in sums.as_flattened_mut().iter_mut().zip(more.as_flattened()) {
        for (sum, more) in sum.iter_mut().zip(more) {
            *sum = simd.add_f32s(*sum, *more);
        }
    }
}

/// sums += columnsᵀ × panel for each of P panels: `wide` is read from the top, [`TALL`] columns from
/// `column` on.
#[inline(always)]
fn accumulate_columns<S: Simd, const V: usize, const P: usize>(
    simd: S,
    panels: [&[f32]; P],
    wide: Rows<'_>,
    column: usize,
    sums: &mut [Sums<S, V>; P],
) {
    let panels = panels.map(|panel| S::as_simd_f32s(panel).0.as_chunks::<V>().0);
    let depth = panels[0].len();
    let starts = (0..depth).step_by(STEPS);
    for (start, rows) in starts.zip(wide.data.chunks(wide.stride * STEPS)) {
        let end = depth.min(start + STEPS);
        let steps = panels.map(|panel| &panel[start..end]);
        let mut held = [nothing::<S, V>(simd); P];
        for (row, place) in rows.chunks(wide.stride).zip(0..end - start) {
            let factors = first_six(&row[column..]);
            multiply_add(simd, &factors, steps.map(|steps| &steps[place]), &mut held);
        }
        add_sums(simd, &held, sums);
    }
}

/// The first numbers of a row; what a short row lacks is not looked at afterwards.
#[inline(always)]
fn first_six(row: &[f32]) -> [f32; TALL] {
    row.first_chunk().copied().unwrap_or_else(|| {
        let mut six = [0.0; TALL];
        six[..row.len()].copy_from_slice(row);
        six
    })
}

#[inline(always)]
fn tile_of<S: Simd, const V: usize>(sums: &Sums<S, V>) -> [[f32; WIDE]; TALL] {
    let mut tile = [[0.0f32; WIDE]; TALL];
    for (to, sums) in tile.iter_mut().zip(sums) {
        S::as_mut_simd_f32s(to).0.copy_from_slice(sums);
    }
    tile
}

#[inline(always)]
fn sums_of<S: Simd, const V: usize>(simd: S, tile: &[[f32; WIDE]; TALL]) -> Sums<S, V> {
    let mut sums = nothing::<S, V>(simd);
    for (sums, from) in sums.iter_mut().zip(tile) {
        sums.copy_from_slice(S::as_simd_f32s(from).0);
    }
    sums
}

/// One row of an output that lies row-major in memory.
#[inline(always)]
fn row_of<'a>(to: &'a mut MatMut<'_, f32>, index: usize) -> &'a mut [f32] {
    match to.as_mut().row_mut(index).try_as_row_major_mut() {
        Some(row) => row.as_slice_mut(),
        // Outputs come from `product::block_mut`, which makes no others.
        None => &mut [],
    }
}

/// Puts a tile's numbers where they belong in `to`, rows from `row` and columns from `column` on, each
/// as `put` says; what stands over the edge is left out.
#[inline(always)]
fn store<S: Simd, const V: usize>(
    to: &mut MatMut<'_, f32>,
    (row, column): (usize, usize),
    sums: &Sums<S, V>,
    put: impl Fn(&mut f32, f32),
) {
    let height = TALL.min(to.nrows() - row);
    let width = WIDE.min(to.ncols() - column);
    for (line, tile) in tile_of::<S, V>(sums).iter().take(height).enumerate() {
        let to = &mut row_of(to, row + line)[column..][..width];
        for (to, found) in to.iter_mut().zip(tile) {
            put(to, *found);
        }
    }
}

/// One product of a sum: panels [rows, depth] through weights [outputs, depth].
#[derive(Clone, Copy, Debug)]
pub struct Through<'a> {
    /// What goes in.
    pub panels: &'a Panels,
    /// Row-major, an output a row.
    pub weights: Rows<'a>,
}

/// to [rows, outputs] = (or += with `adding`) Σ panels·weightsᵀ, on all threads.
pub fn through(to: MatMut<'_, f32>, adding: bool, terms: &[Through<'_>]) {
    spread_through(ThroughPiece {
        to,
        first_panel: 0,
        first_output: 0,
        adding,
        terms,
    });
}

struct ThroughPiece<'a> {
    to: MatMut<'a, f32>,
    first_panel: usize,
    first_output: usize,
    adding: bool,
    terms: &'a [Through<'a>],
}

fn spread_through(piece: ThroughPiece<'_>) {
    let (rows, columns) = (piece.to.nrows(), piece.to.ncols());
    let depth: usize = piece.terms.iter().map(|term| term.panels.depth).sum();
    let across = columns >= rows;
    let longer = rows.max(columns);
    if rows * columns * depth <= PIECE || longer < 2 * GRAIN {
        return run(piece);
    }
    let middle = (longer / 2).next_multiple_of(GRAIN);
    let ThroughPiece {
        to,
        first_panel,
        first_output,
        adding,
        terms,
    } = piece;
    let (one, other, panel, output) = if across {
        let (one, other) = to.split_at_col_mut(middle);
        (one, other, first_panel, first_output + middle)
    } else {
        let (one, other) = to.split_at_row_mut(middle);
        (one, other, first_panel + middle / WIDE, first_output)
    };
    let piece = |to, first_panel, first_output| ThroughPiece {
        to,
        first_panel,
        first_output,
        adding,
        terms,
    };
    let (one, other) = (
        piece(one, first_panel, first_output),
        piece(other, panel, output),
    );
    rayon::join(|| spread_through(one), || spread_through(other));
}

impl ThroughPiece<'_> {
    /// P tiles side by side, of the rows from `row` on and of [`TALL`] outputs.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const P: usize>(
        &mut self,
        simd: S,
        row: usize,
        output: usize,
    ) {
        let count = TALL.min(self.to.ncols() - output);
        let mut sums = [nothing::<S, V>(simd); P];
        for term in self.terms {
            let first = self.first_output + output;
            let weights = [0, 1, 2, 3, 4, 5]
                .map(|index: usize| term.weights.row(first + index.min(count - 1)));
            let panel = self.first_panel + row / WIDE;
            let panels = std::array::from_fn(|index| term.panels.panel(panel + index));
            accumulate(simd, panels, weights, &mut sums);
        }
        for (index, sums) in sums.iter().enumerate() {
            self.store_transposed(row + index * WIDE, output, count, &tile_of::<S, V>(sums));
        }
    }

    /// Writes a tile, which holds an output a line, to rows that hold an output a column.
    #[inline(always)]
    fn store_transposed(
        &mut self,
        row: usize,
        output: usize,
        count: usize,
        tile: &[[f32; WIDE]; TALL],
    ) {
        for lane in 0..WIDE.min(self.to.nrows() - row) {
            let to = &mut row_of(&mut self.to, row + lane)[output..][..count];
            for (to, line) in to.iter_mut().zip(tile) {
                let before = if self.adding { *to } else { 0.0 };
                *to = before + line[lane];
            }
        }
    }
}

impl Tiled for ThroughPiece<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize, const P: usize>(mut self, simd: S) {
        let (rows, outputs) = (self.to.nrows(), self.to.ncols());
        for block in (0..rows).step_by(BLOCK * WIDE) {
            let end = rows.min(block + BLOCK * WIDE);
            for output in (0..outputs).step_by(TALL) {
                for row in (block..end).step_by(P * WIDE) {
                    if row + (P - 1) * WIDE < end {
                        self.tiles::<S, V, P>(simd, row, output);
                    } else {
                        self.tiles::<S, V, 1>(simd, row, output);
                    }
                }
            }
        }
    }
}

/// scale·panels·weightsᵀ as panels again, for the narrow middle of an adapter.
pub fn narrow(pool: &Pool, term: Through<'_>, outputs: usize, scale: f32) -> Panels {
    let mut found = Panels::empty(pool, term.panels.rows, outputs);
    found
        .data
        .par_chunks_exact_mut((outputs * WIDE).max(1))
        .enumerate()
        .for_each(|(index, to)| {
            run(NarrowPiece {
                to,
                panel: term.panels.panel(index),
                weights: term.weights,
                scale,
            });
        });
    found
}

struct NarrowPiece<'a> {
    to: &'a mut [f32],
    panel: &'a [f32],
    weights: Rows<'a>,
    scale: f32,
}

impl Tiled for NarrowPiece<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize, const P: usize>(self, simd: S) {
        for (block, to) in self.to.chunks_mut(TALL * WIDE).enumerate() {
            let count = to.len() / WIDE;
            let weights = [0, 1, 2, 3, 4, 5]
                .map(|index: usize| self.weights.row(block * TALL + index.min(count - 1)));
            let mut sums = [nothing::<S, V>(simd)];
            accumulate(simd, [self.panel], weights, &mut sums);
            for (to, from) in to.chunks_exact_mut(WIDE).zip(tile_of::<S, V>(&sums[0])) {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = self.scale * from;
                }
            }
        }
    }
}

/// One product of a sum: left [rows, depth] by right [depth, columns], both row-major.
#[derive(Clone, Copy, Debug)]
pub struct Back<'a> {
    /// Gradients of outputs.
    pub left: Rows<'a>,
    /// Weights, an output a row.
    pub right: Rows<'a>,
}

/// to [rows, columns] = Σ left·right, on all threads.
pub fn back(to: MatMut<'_, f32>, terms: &[Back<'_>]) {
    let (rows, columns) = (to.nrows(), to.ncols());
    let depth: usize = terms.iter().map(|term| term.left.width).sum();
    let across = columns > COLUMNS;
    if rows * columns * depth <= PIECE || (!across && rows <= ROWS) {
        return run(BackPiece { to, terms });
    }
    let longer = if across { columns } else { rows };
    let middle = (longer / 2).next_multiple_of(GRAIN);
    if across {
        let (one, other) = to.split_at_col_mut(middle);
        let right = |start: usize, width| -> Vec<Back<'_>> {
            terms
                .iter()
                .map(|term| Back {
                    left: term.left,
                    right: term.right.columns(start, width),
                })
                .collect()
        };
        let (first, second) = (right(0, middle), right(middle, columns - middle));
        rayon::join(|| back(one, &first), || back(other, &second));
    } else {
        let (one, other) = to.split_at_row_mut(middle);
        let below: Vec<Back<'_>> = terms
            .iter()
            .map(|term| Back {
                left: term.left.from_row(middle),
                right: term.right,
            })
            .collect();
        rayon::join(|| back(one, terms), || back(other, &below));
    }
}

struct BackPiece<'a> {
    to: MatMut<'a, f32>,
    terms: &'a [Back<'a>],
}

impl BackPiece<'_> {
    /// P tiles side by side: of [`TALL`] rows from `row` on and of the columns from `column` on. Adds
    /// to what is there if the product has `started`.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const P: usize>(
        &mut self,
        simd: S,
        (row, column): (usize, usize),
        left: [&[f32]; TALL],
        strips: [&[f32]; P],
        started: bool,
    ) {
        let count = TALL.min(self.to.nrows() - row);
        let columns = self.to.ncols();
        let width = |index: usize| WIDE.min(columns - column - index * WIDE);
        let mut sums = [nothing::<S, V>(simd); P];
        if started {
            for (index, sums) in sums.iter_mut().enumerate() {
                let mut tile = [[0.0f32; WIDE]; TALL];
                for (line, tile) in tile.iter_mut().take(count).enumerate() {
                    let from = &row_of(&mut self.to, row + line)[column + index * WIDE..];
                    tile[..width(index)].copy_from_slice(&from[..width(index)]);
                }
                *sums = sums_of::<S, V>(simd, &tile);
            }
        }
        accumulate(simd, strips, left, &mut sums);
        for (index, sums) in sums.iter().enumerate() {
            let place = (row, column + index * WIDE);
            store::<S, V>(&mut self.to, place, sums, |to, found| *to = found);
        }
    }
}

impl Tiled for BackPiece<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize, const P: usize>(mut self, simd: S) {
        let (rows, columns) = (self.to.nrows(), self.to.ncols());
        let mut strips = vec![0.0f32; columns.div_ceil(WIDE) * STEPS * WIDE];
        let mut started = false;
        for term in self.terms {
            for first in (0..term.left.width).step_by(STEPS) {
                let steps = STEPS.min(term.left.width - first);
                let strips = &mut strips[..columns.div_ceil(WIDE) * steps * WIDE];
                pack_strips::<WIDE>(strips, term.right, first, steps);
                for row in (0..rows).step_by(TALL) {
                    let count = TALL.min(rows - row);
                    let left = [0, 1, 2, 3, 4, 5].map(|index: usize| {
                        &term.left.row(row + index.min(count - 1))[first..first + steps]
                    });
                    for (index, together) in strips.chunks(P * steps * WIDE).enumerate() {
                        let place = (row, index * P * WIDE);
                        match strips_in::<P>(together, steps) {
                            Some(strips) => {
                                self.tiles::<S, V, P>(simd, place, left, strips, started);
                            }
                            None => {
                                self.tiles::<S, V, 1>(simd, place, left, [together], started);
                            }
                        }
                    }
                }
                started = true;
            }
        }
        if !started {
            self.to.fill(0.0);
        }
    }
}

/// The P strips of so many steps that `together` is; none where it is one alone.
#[inline(always)]
fn strips_in<const P: usize>(together: &[f32], steps: usize) -> Option<[&[f32]; P]> {
    const { assert!(P <= 2, "what is left of more would not be one") };
    (together.len() == P * steps * WIDE)
        .then(|| std::array::from_fn(|index| &together[index * steps * WIDE..][..steps * WIDE]))
}

/// scale·wideᵀ·narrow [wide's width, narrow's width], row-major: the gradient of an adapter's matrix.
/// `rows` rows are summed over.
pub fn across(wide: Rows<'_>, narrow: Rows<'_>, rows: usize, scale: f32) -> Vec<f32> {
    let mut strips = vec![0.0f32; narrow.width.div_ceil(WIDE) * rows * WIDE];
    if rows > 0 {
        pack_strips::<WIDE>(&mut strips, narrow, 0, rows);
    }
    let mut to = vec![0.0f32; wide.width * narrow.width];
    to.par_chunks_mut((GRAIN * narrow.width).max(1))
        .enumerate()
        .for_each(|(index, to)| {
            let lines = to.len() / narrow.width;
            run(AcrossPiece {
                to: MatMut::from_row_major_slice_mut(to, lines, narrow.width),
                wide,
                first: index * GRAIN,
                strips: &strips,
                rows,
                scale,
            });
        });
    to
}

struct AcrossPiece<'a> {
    to: MatMut<'a, f32>,
    wide: Rows<'a>,
    first: usize,
    strips: &'a [f32],
    rows: usize,
    scale: f32,
}

impl AcrossPiece<'_> {
    /// P tiles side by side: of [`TALL`] rows from `row` on and of the columns from `column` on.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const P: usize>(
        &mut self,
        simd: S,
        (row, column): (usize, usize),
        strips: [&[f32]; P],
    ) {
        let mut sums = [nothing::<S, V>(simd); P];
        accumulate_columns(simd, strips, self.wide, self.first + row, &mut sums);
        for (index, sums) in sums.iter().enumerate() {
            let place = (row, column + index * WIDE);
            let scale = self.scale;
            store::<S, V>(&mut self.to, place, sums, |to, found| *to = scale * found);
        }
    }
}

impl Tiled for AcrossPiece<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize, const P: usize>(mut self, simd: S) {
        if self.rows == 0 {
            return;
        }
        let count = self.to.nrows();
        for (index, together) in self.strips.chunks(P * self.rows * WIDE).enumerate() {
            for row in (0..count).step_by(TALL) {
                let place = (row, index * P * WIDE);
                match strips_in::<P>(together, self.rows) {
                    Some(strips) => self.tiles::<S, V, P>(simd, place, strips),
                    None => self.tiles::<S, V, 1>(simd, place, [together]),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
