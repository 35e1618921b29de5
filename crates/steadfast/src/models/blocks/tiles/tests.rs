use super::super::product::block_mut;
use super::gram::GramPiece;
use super::*;
use proptest::prelude::*;

fn wave(count: usize, phase: f32) -> Vec<f32> {
    (0..count)
        .map(|place| (place as f32 * 0.7 + phase).sin())
        .collect()
}

/// Σ_k left(row, k)·right(k, column) in f64.
fn sum(depth: usize, left: impl Fn(usize) -> f32, right: impl Fn(usize) -> f32) -> f64 {
    (0..depth)
        .map(|k| f64::from(left(k)) * f64::from(right(k)))
        .sum()
}

fn close(found: f32, expected: f64) -> bool {
    (f64::from(found) - expected).abs() < 1e-3
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sum_of_products_goes_through_and_nothing_beside_it_changes(
        (rows, outputs, depth, rank) in (0usize..70, 1usize..120, 1usize..600, 1usize..20),
        (start, after, adding) in (0usize..5, 0usize..5, any::<bool>()),
    ) {
        let pool = Pool::default();
        let (x, w) = (wave(rows * depth, 0.0), wave(outputs * depth, 1.0));
        let (a, b) = (wave(rank * depth, 2.0), wave(outputs * rank, 3.0));
        let panels = Panels::pack(&pool, &x, depth);
        prop_assert_eq!(&*panels.unpack(&pool), &x[..]);
        let into = Through { panels: &panels, weights: Rows::of(&a, depth) };
        let middle = narrow(&pool, into, rank, 0.5);
        let stride = start + outputs + after;
        let before = wave(rows * stride + 64, 4.0);
        let mut found = before.clone();
        through(
            block_mut(&mut found, rows, stride, start, outputs),
            adding,
            &[
                Through { panels: &panels, weights: Rows::of(&w, depth) },
                Through { panels: &middle, weights: Rows::of(&b, rank) },
            ],
        );
        let middle = middle.unpack(&pool);
        for (place, (found, before)) in found.iter().zip(&before).enumerate() {
            let (row, column) = (place / stride, place % stride);
            if row >= rows || !(start..start + outputs).contains(&column) {
                prop_assert_eq!(found, before);
                continue;
            }
            let output = column - start;
            let expected = sum(depth, |k| x[row * depth + k], |k| w[output * depth + k])
                + sum(rank, |k| middle[row * rank + k], |k| b[output * rank + k])
                + if adding { f64::from(*before) } else { 0.0 };
            prop_assert!(close(*found, expected), "{row} {output}: {found} {expected}");
        }
        for (place, found) in middle.iter().enumerate() {
            let (row, index) = (place / rank, place % rank);
            let expected = 0.5 * sum(depth, |k| x[row * depth + k], |k| a[index * depth + k]);
            prop_assert!(close(*found, expected));
        }
    }

    #[test]
    fn gradients_come_back_through_a_sum_of_products(
        (rows, columns, depth, rank) in (0usize..70, 1usize..120, 1usize..600, 1usize..20),
    ) {
        let (left, right) = (wave(rows * depth, 0.0), wave(depth * columns, 1.0));
        let (middle, a) = (wave(rows * rank, 2.0), wave(rank * columns, 3.0));
        let mut found = vec![7.0; rows * columns];
        back(
            block_mut(&mut found, rows, columns, 0, columns),
            &[
                Back { left: Rows::of(&left, depth), right: Rows::of(&right, columns) },
                Back { left: Rows::of(&middle, rank), right: Rows::of(&a, columns) },
            ],
        );
        for (place, found) in found.iter().enumerate() {
            let (row, column) = (place / columns, place % columns);
            let expected = sum(depth, |k| left[row * depth + k], |k| right[k * columns + column])
                + sum(rank, |k| middle[row * rank + k], |k| a[k * columns + column]);
            prop_assert!(close(*found, expected), "{row} {column}: {found} {expected}");
        }
    }

    #[test]
    fn an_adapters_gradient_is_summed_over_rows(
        (rows, wide, narrow) in (0usize..600, 1usize..120, 1usize..40),
        (start, after) in (0usize..5, 0usize..5),
    ) {
        let stride = start + wide + after;
        let (left, right) = (wave(rows * stride, 0.0), wave(rows * narrow, 1.0));
        let columns = Rows::of(&left, stride).columns(start, wide);
        let found = across(columns, Rows::of(&right, narrow), rows, 2.0);
        for (place, found) in found.iter().enumerate() {
            let (row, column) = (place / narrow, place % narrow);
            let expected = 2.0
                * sum(rows, |k| left[k * stride + start + row], |k| right[k * narrow + column]);
            prop_assert!(close(*found, expected), "{row} {column}: {found} {expected}");
        }
    }
}

#[test]
fn a_gram_is_added_to_the_lower_triangle() {
    let pool = Pool::default();
    // More rows than one block of them, and widths on both sides of a piece.
    for (rows, width) in [(3, 5), (1300, 40), (1100, 230)] {
        let x = wave(rows * width, 0.3);
        let mut found = vec![2.0; width * width];
        add_gram(block_mut(&mut found, width, width, 0, width), &pool, &x);
        for row in 0..width {
            for column in 0..=row {
                let expected = 2.0 + sum(rows, |k| x[k * width + row], |k| x[k * width + column]);
                let found = found[row * width + column];
                assert!(close(found, expected), "{row} {column}: {found} {expected}");
            }
        }
    }
}

#[test]
fn pieces_on_all_threads_make_the_product_of_one() {
    let pool = Pool::default();
    let (rows, outputs, depth) = (1100, 700, 90);
    let (x, w) = (wave(rows * depth, 0.0), wave(outputs * depth, 1.0));
    let panels = Panels::pack(&pool, &x, depth);
    let mut forth = vec![0.0; rows * outputs];
    let term = Through {
        panels: &panels,
        weights: Rows::of(&w, depth),
    };
    through(
        block_mut(&mut forth, rows, outputs, 0, outputs),
        false,
        &[term],
    );
    let mut back_again = vec![0.0; rows * depth];
    let term = Back {
        left: Rows::of(&forth, outputs),
        right: Rows::of(&w, depth),
    };
    back(block_mut(&mut back_again, rows, depth, 0, depth), &[term]);
    for row in (0..rows).step_by(37) {
        for output in 0..outputs {
            let expected = sum(depth, |k| x[row * depth + k], |k| w[output * depth + k]);
            assert!(close(forth[row * outputs + output], expected));
        }
        for column in 0..depth {
            let expected = sum(
                outputs,
                |k| forth[row * outputs + k],
                |k| w[k * depth + column],
            );
            let found = f64::from(back_again[row * depth + column]);
            assert!((found - expected).abs() < 1e-3 * expected.abs().max(10.0));
        }
    }
}

/// AVX-512 takes the tiles two by two, AVX2 one by one.
#[cfg(target_arch = "x86_64")]
#[test]
fn vectors_of_either_width_make_the_same_bits() {
    let Some(v3) = pulp::x86::V3::try_new() else {
        return;
    };
    let pool = Pool::default();
    // An odd number of panels, more steps than a strip, and ends that fill nothing.
    let (rows, outputs, depth) = (71, 269, 300);
    let (x, w) = (wave(rows * depth, 0.0), wave(outputs * depth, 1.0));
    let gradient = wave(rows * outputs, 2.0);
    let panels = Panels::pack(&pool, &x, depth);
    macro_rules! same {
        ($height:expr, $width:expr, |$to:ident| $piece:expr) => {{
            let found = |run: &dyn Fn(&mut [f32])| -> Vec<u32> {
                let mut found = wave($height * $width, 4.0);
                run(&mut found);
                found.into_iter().map(f32::to_bits).collect()
            };
            let one_by_one = found(&|$to| $piece.run::<_, 2, 1>(v3));
            assert_eq!(one_by_one, found(&|$to| $piece.run::<_, 2, 2>(v3)));
            if let Some(v4) = pulp::x86::V4::try_new() {
                assert_eq!(one_by_one, found(&|$to| $piece.run::<_, 1, 2>(v4)));
            }
        }};
    }
    let through = [Through {
        panels: &panels,
        weights: Rows::of(&w, depth),
    }];
    same!(rows, outputs, |to| ThroughPiece {
        to: block_mut(to, rows, outputs, 0, outputs),
        first_panel: 0,
        first_output: 0,
        adding: true,
        terms: &through,
    });
    same!(1, outputs * WIDE, |to| NarrowPiece {
        to,
        panel: panels.panel(1),
        weights: Rows::of(&w, depth),
        scale: 0.5,
    });
    let back = [Back {
        left: Rows::of(&gradient, outputs),
        right: Rows::of(&w, depth),
    }; 2];
    same!(rows, depth, |to| BackPiece {
        to: block_mut(to, rows, depth, 0, depth),
        terms: &back,
    });
    let mut strips = vec![0.0; outputs.div_ceil(WIDE) * rows * WIDE];
    pack_strips::<WIDE>(&mut strips, Rows::of(&gradient, outputs), 0, rows);
    same!(depth, outputs, |to| AcrossPiece {
        to: block_mut(to, depth, outputs, 0, outputs),
        wide: Rows::of(&x, depth),
        first: 0,
        strips: &strips,
        rows,
        scale: 0.5,
    });
    let (wide, tall) = gram::sides(&pool, Rows::of(&x, depth), rows);
    same!(depth, depth, |to| GramPiece {
        to: block_mut(to, depth, depth, 0, depth),
        tall: &tall,
        wide: &wide,
        rows,
    });
}
