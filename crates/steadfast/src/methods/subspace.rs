//! Which directions the new domain uses and the old behaviour does not.

use crate::{Error, Result};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Directions beyond those wanted that the iteration carries along: they speed its convergence.
const OVERSAMPLING: usize = 16;
/// Blocks of the Krylov space that one cycle spans.
const BLOCKS: usize = 4;
/// Most cycles; the last of them changes nothing that an f32 keeps, or little.
const CYCLES: usize = 20;

/// Sum of the diagonal.
pub fn trace(matrix: &Mat<f64>) -> f64 {
    (0..matrix.nrows())
        .map(|index| matrix[(index, index)])
        .sum()
}

/// C + εI.
pub fn damped(moment: &Mat<f64>, epsilon: f64) -> Mat<f64> {
    Mat::from_fn(moment.nrows(), moment.ncols(), |row, column| {
        moment[(row, column)] + if row == column { epsilon } else { 0.0 }
    })
}

/// left·right.
pub fn product(left: faer::MatRef<'_, f64>, right: faer::MatRef<'_, f64>) -> Mat<f64> {
    let mut result = Mat::zeros(left.nrows(), right.ncols());
    matmul(
        result.as_mut(),
        Accum::Replace,
        left,
        right,
        1.0,
        // Layers are worked on side by side.
        Par::Seq,
    );
    result
}

/// The top `count` solutions a of C_task·a = λ·(C_retain + εI)·a, ε = ρ·tr(C_retain)/d, made
/// orthonormal in the Euclidean sense: the rows of the result, [count, d].
///
/// With C_retain + εI = L·Lᵀ these are a = L⁻ᵀu for the top eigenvectors u of L⁻¹·C_task·L⁻ᵀ: a few
/// of d are wanted, so a full eigendecomposition would waste d/count of its work. Returns the λ too,
/// largest first.
pub fn contrastive(
    task: &Mat<f64>,
    retain: &Mat<f64>,
    rho: f64,
    count: usize,
) -> Result<(Mat<f64>, Vec<f64>)> {
    let width = retain.nrows();
    let epsilon = rho * trace(retain) / width as f64;
    let cholesky = damped(retain, epsilon).llt(Side::Lower).map_err(|_| {
        Error::user("the moments of the retained text are singular")
            .field("rho")
            .hint("raise rho, or retain more text (retain_tokens)")
    })?;
    let factor = cholesky.L();
    let apply = |block: &Mat<f64>| {
        let mut image = block.clone();
        factor
            .transpose()
            .solve_upper_triangular_in_place(image.as_mut());
        let mut image = product(task.as_ref(), image.as_ref());
        factor.solve_lower_triangular_in_place(image.as_mut());
        image
    };
    let (mut solutions, values) = top_eigenvectors(apply, width, count)?;
    factor
        .transpose()
        .solve_upper_triangular_in_place(solutions.as_mut());
    Ok((orthonormal(&solutions).transpose().to_owned(), values))
}

/// The top `count` eigenvectors (columns) and eigenvalues of the symmetric operator `apply`, by block
/// Lanczos with restarts (Golub & Underwood 1977): each cycle spans V, MV, M²V, … and keeps the
/// best of that span. Powers of M alone take several times as many applications.
fn top_eigenvectors(
    apply: impl Fn(&Mat<f64>) -> Mat<f64>,
    width: usize,
    count: usize,
) -> Result<(Mat<f64>, Vec<f64>)> {
    let count = count.min(width);
    let carried = (count + OVERSAMPLING).min(width);
    let blocks = BLOCKS.min(width / carried);
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let start = Mat::from_fn(width, carried, |_, _| random.random_range(-1.0..1.0));
    let mut basis = orthonormal(&start);
    let mut values = vec![0.0; carried];
    for _ in 0..CYCLES {
        let mut space = Mat::zeros(width, carried * blocks);
        let mut images = space.clone();
        let mut block = basis;
        for index in 0..blocks {
            let place = index * carried;
            space.subcols_mut(place, carried).copy_from(&block);
            let image = apply(&block);
            images.subcols_mut(place, carried).copy_from(&image);
            block = image;
            if index + 1 < blocks {
                // Twice: where M has few directions, what the first pass leaves is rounding, which is
                // not orthogonal to anything.
                for _ in 0..2 {
                    let inside = space.subcols(0, place + carried);
                    let along = product(inside.transpose(), block.as_ref());
                    block = orthonormal(&(&block - product(inside, along.as_ref())));
                }
            }
        }
        let small = product(space.transpose(), images.as_ref());
        let (rotation, found) = eigen(&small)?;
        let settled = found
            .iter()
            .zip(&values)
            .take(count)
            .all(|(new, old)| (new - old).abs() <= 1e-10 * new.abs());
        basis = product(space.as_ref(), rotation.subcols(0, carried));
        values = found;
        if settled {
            break;
        }
    }
    values.truncate(count);
    Ok((basis.subcols(0, count).to_owned(), values))
}

/// An orthonormal basis of the lower half of the spectrum of C_retain: the rows of the result, [d/2, d].
pub fn low_half(retain: &Mat<f64>) -> Result<Mat<f64>> {
    let (vectors, _) = eigen(retain)?;
    let width = retain.nrows();
    let kept = width / 2;
    Ok(vectors.subcols(width - kept, kept).transpose().to_owned())
}

/// The last `count` eigenvectors of C_retain, the least first: the rows of the result, [count, d].
pub fn low_rows(retain: &Mat<f64>, count: usize) -> Result<Mat<f64>> {
    let (vectors, _) = eigen(retain)?;
    let width = retain.nrows();
    Ok(Mat::from_fn(count, width, |row, column| {
        vectors[(column, width - 1 - row)]
    }))
}

/// Eigenvectors (columns) and eigenvalues of a symmetric matrix, largest first.
fn eigen(matrix: &Mat<f64>) -> Result<(Mat<f64>, Vec<f64>)> {
    let size = matrix.nrows();
    let symmetric = Mat::from_fn(size, size, |row, column| {
        0.5 * (matrix[(row, column)] + matrix[(column, row)])
    });
    let found = symmetric
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| Error::bug("an eigenproblem did not converge"))?;
    let (vectors, values) = (found.U(), found.S().column_vector());
    // faer gives the smallest first.
    let reversed = Mat::from_fn(size, size, |row, column| vectors[(row, size - 1 - column)]);
    let values = (0..size).rev().map(|index| values[index]).collect();
    Ok((reversed, values))
}

/// An orthonormal basis of the columns' span, each column in the half-space of its original.
fn orthonormal(matrix: &Mat<f64>) -> Mat<f64> {
    matrix.qr().compute_thin_Q()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(width: usize, seed: u64) -> Mat<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let rows = Mat::from_fn(3 * width, width, |_, column| {
            random.random_range(-1.0..1.0) / (1.0 + column as f64)
        });
        product(rows.transpose(), rows.as_ref())
    }

    #[test]
    fn the_solutions_solve_the_generalized_problem_and_are_orthonormal() {
        let (width, count, rho) = (40, 4, 1e-2);
        let (task, retain) = (moment(width, 1), moment(width, 2));
        let (rows, values) = contrastive(&task, &retain, rho, count).unwrap();
        let gram = product(rows.as_ref(), rows.transpose());
        for row in 0..count {
            for column in 0..count {
                let expected = if row == column { 1.0 } else { 0.0 };
                assert!((gram[(row, column)] - expected).abs() < 1e-10);
            }
        }
        // The span of the rows is invariant: (C_retain + εI)⁻¹·C_task maps it into itself.
        let epsilon = rho * trace(&retain) / width as f64;
        let damped = Mat::from_fn(width, width, |r, c| {
            retain[(r, c)] + if r == c { epsilon } else { 0.0 }
        });
        let llt = damped.llt(Side::Lower).unwrap();
        let mapped =
            faer::linalg::solvers::Solve::solve(&llt, product(task.as_ref(), rows.transpose()));
        let inside = product(
            rows.transpose(),
            product(rows.as_ref(), mapped.as_ref()).as_ref(),
        );
        let residue = (&mapped - &inside).norm_l2() / mapped.norm_l2();
        assert!(residue < 1e-5, "the span moves by {residue}");
        // And it holds the largest λ: their sum is the trace of the map on the span.
        let small = product(rows.as_ref(), mapped.as_ref());
        let total: f64 = values.iter().sum();
        assert!((trace(&small) - total).abs() < 1e-6 * total);
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn the_low_half_carries_less_than_any_other_half() {
        let retain = moment(20, 3);
        let rows = low_half(&retain).unwrap();
        assert_eq!((rows.nrows(), rows.ncols()), (10, 20));
        let carried = trace(&product(
            product(rows.as_ref(), retain.as_ref()).as_ref(),
            rows.transpose(),
        ));
        let (_, values) = eigen(&retain).unwrap();
        let least: f64 = values[10..].iter().sum();
        assert!((carried - least).abs() < 1e-9 * trace(&retain));
    }
}
