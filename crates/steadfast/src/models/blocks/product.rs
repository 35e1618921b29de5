//! Matrix products of row-major slices, through faer.

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

/// destination = scale·left·right on all threads.
pub fn set(to: MatMut<'_, f32>, scale: f32, left: MatRef<'_, f32>, right: MatRef<'_, f32>) {
    matmul(to, Accum::Replace, left, right, scale, Par::rayon(0));
}

/// destination += scale·left·right on all threads.
pub fn add(to: MatMut<'_, f32>, scale: f32, left: MatRef<'_, f32>, right: MatRef<'_, f32>) {
    matmul(to, Accum::Add, left, right, scale, Par::rayon(0));
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
