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
    MatMut::from_row_major_slice_with_stride_mut(&mut data[start..end], rows, columns, stride)
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
pub fn set(
    destination: MatMut<'_, f32>,
    scale: f32,
    left: MatRef<'_, f32>,
    right: MatRef<'_, f32>,
) {
    matmul(
        destination,
        Accum::Replace,
        left,
        right,
        scale,
        Par::rayon(0),
    );
}

/// destination += scale·left·right on all threads.
pub fn add(
    destination: MatMut<'_, f32>,
    scale: f32,
    left: MatRef<'_, f32>,
    right: MatRef<'_, f32>,
) {
    matmul(destination, Accum::Add, left, right, scale, Par::rayon(0));
}

/// destination = scale·left·right on the calling thread, for work that is already spread over them.
pub fn set_here(
    destination: MatMut<'_, f32>,
    scale: f32,
    left: MatRef<'_, f32>,
    right: MatRef<'_, f32>,
) {
    matmul(destination, Accum::Replace, left, right, scale, Par::Seq);
}

/// destination += scale·left·right on the calling thread.
pub fn add_here(
    destination: MatMut<'_, f32>,
    scale: f32,
    left: MatRef<'_, f32>,
    right: MatRef<'_, f32>,
) {
    matmul(destination, Accum::Add, left, right, scale, Par::Seq);
}
