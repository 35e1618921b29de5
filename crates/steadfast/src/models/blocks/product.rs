//! Matrix products of row-major slices, through faer: the small ones of attention. The large ones go
//! through [`super::tiles`].

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A [rows, columns] block of a row-major matrix whose rows are `stride` apart, beginning at column
/// `start` of the slice's first row.
pub fn block(
    data: &[f32],
    rows: usize,
    stride: usize,
    start: usize,
    columns: usize,
) -> MatRef<'_, f32> {
    if rows == 0 {
        return MatRef::from_row_major_slice(&[], 0, columns);
    }
    let end = (rows - 1) * stride + start + columns;
    MatRef::from_row_major_slice_with_stride(&data[start..end], rows, columns, stride)
}

/// As [`block`], to write to.
pub fn block_mut(
    data: &mut [f32],
    rows: usize,
    stride: usize,
    start: usize,
    columns: usize,
) -> MatMut<'_, f32> {
    if rows == 0 {
        return MatMut::from_row_major_slice_mut(&mut [], 0, columns);
    }
    let end = (rows - 1) * stride + start + columns;
    // Not `from_row_major_slice_with_stride_mut`: faer 0.24.4 exchanges its strides, so that safe
    // code writes past the slice (valgrind found it; the test below guards against it).
    MatMut::from_column_major_slice_with_stride_mut(&mut data[start..end], columns, rows, stride)
        .transpose_mut()
}

/// A whole row-major matrix [rows, columns].
pub fn whole(data: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    block(data, rows, columns, 0, columns)
}

/// As [`whole`], to write to.
pub fn whole_mut(data: &mut [f32], rows: usize, columns: usize) -> MatMut<'_, f32> {
    block_mut(data, rows, columns, 0, columns)
}

/// Multiply-adds of one piece of a product: about a quarter of a millisecond on one core.
const PIECE: usize = 8 << 20;
/// Pieces begin at multiples of this, which faer's kernels fill whole.
const GRAIN: usize = 48;

/// destination = scale·left·right on all threads: halves the destination until a piece is small enough, and leaves the pieces to whichever thread is
/// free.
///
/// faer's own threads meet at barriers: on a machine that does anything else, each product waits for
/// the thread that was put aside. The pieces depend on the shape alone, so one thread and many give
/// the same bits.
pub fn set(to: MatMut<'_, f32>, scale: f32, left: MatRef<'_, f32>, right: MatRef<'_, f32>) {
    let (rows, columns) = (to.nrows(), to.ncols());
    let work = rows * columns * left.ncols();
    let (longer, across) = if columns >= rows {
        (columns, true)
    } else {
        (rows, false)
    };
    if work <= PIECE || longer < 2 * GRAIN {
        return matmul(to, Accum::Replace, left, right, scale, Par::Seq);
    }
    let middle = (longer / 2).next_multiple_of(GRAIN);
    if across {
        let (first, second) = to.split_at_col_mut(middle);
        let (one, other) = right.split_at_col(middle);
        rayon::join(
            || set(first, scale, left, one),
            || set(second, scale, left, other),
        );
    } else {
        let (first, second) = to.split_at_row_mut(middle);
        let (one, other) = left.split_at_row(middle);
        rayon::join(
            || set(first, scale, one, right),
            || set(second, scale, other, right),
        );
    }
}

/// destination = scale·left·right on the calling thread, for work that is already spread over them.
pub fn set_here(to: MatMut<'_, f32>, scale: f32, left: MatRef<'_, f32>, right: MatRef<'_, f32>) {
    matmul(to, Accum::Replace, left, right, scale, Par::Seq);
}

/// destination += scale·left·right on the calling thread.
pub fn add_here(to: MatMut<'_, f32>, scale: f32, left: MatRef<'_, f32>, right: MatRef<'_, f32>) {
    matmul(to, Accum::Add, left, right, scale, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spread_pieces_make_the_same_product() {
        for (rows, columns, depth) in [(5, 3000, 700), (1900, 101, 90), (300, 300, 300)] {
            let wave = |count: usize| -> Vec<f32> {
                (0..count)
                    .map(|place| (place as f32 * 0.37).sin())
                    .collect()
            };
            let (left, right) = (wave(rows * depth), wave(depth * columns));
            let mut spread = vec![1.0; rows * columns];
            let mut here = spread.clone();
            let (left, right) = (whole(&left, rows, depth), whole(&right, depth, columns));
            set(whole_mut(&mut spread, rows, columns), 0.5, left, right);
            set_here(whole_mut(&mut here, rows, columns), 0.5, left, right);
            let worst = spread
                .iter()
                .zip(&here)
                .map(|(one, other)| (one - other).abs())
                .fold(0.0, f32::max);
            assert!(worst < 1e-3, "{rows} {columns} {depth}: {worst}");
        }
    }

    proptest! {
        #[test]
        fn a_product_fills_its_block_and_nothing_else(
            (rows, columns, depth) in (0usize..40, 1usize..40, 0usize..40),
            (start, after) in (0usize..9, 0usize..9),
            adding: bool,
        ) {
            let wave = |count: usize, phase: f32| -> Vec<f32> {
                (0..count).map(|place| (place as f32 * 0.7 + phase).sin()).collect()
            };
            let (left, right) = (wave(rows * depth, 0.0), wave(depth * columns, 1.0));
            let stride = start + columns + after;
            // Guards after the last row catch a kernel that writes past its block.
            let before = wave(rows * stride + 64, 2.0);
            let mut found = before.clone();
            let product = if adding { add_here } else { set_here };
            product(
                block_mut(&mut found, rows, stride, start, columns),
                0.5,
                whole(&left, rows, depth),
                whole(&right, depth, columns),
            );
            for (place, (found, before)) in found.iter().zip(&before).enumerate() {
                let (row, column) = (place / stride, place % stride);
                let inside = row < rows && (start..start + columns).contains(&column);
                let expected = if inside {
                    let sum: f32 = (0..depth)
                        .map(|k| left[row * depth + k] * right[k * columns + column - start])
                        .sum();
                    0.5 * sum + if adding { *before } else { 0.0 }
                } else {
                    *before
                };
                prop_assert!(
                    if inside { (found - expected).abs() < 1e-4 } else { *found == expected },
                    "place {place}: {found} {expected}"
                );
            }
        }
    }
}
