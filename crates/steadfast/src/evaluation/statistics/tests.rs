use super::*;
use proptest::prelude::*;

fn alone(values: &[f64]) -> Vec<Observation> {
    values
        .iter()
        .enumerate()
        .map(|(index, value)| Observation {
            cluster: format!("{index:05}"),
            value: *value,
        })
        .collect()
}

#[test]
fn what_did_not_change_is_not_known_to_be_unchanged() {
    let of = |values: &[f64]| -> Vec<Observation> {
        let named = values.iter().enumerate();
        named
            .map(|(index, value)| Observation {
                cluster: index.to_string(),
                value: *value,
            })
            .collect()
    };
    let still = of(&[0.0; 20]);
    // 1 − 0.05^(1/20), and seeds over the same items add none.
    let spread = crossed_bounded(&[vec![still.clone()], vec![still.clone()]], 100.0).unwrap();
    assert_eq!((spread.mean, spread.interval[0]), (0.0, 0.0));
    assert!((spread.upper95 - 13.911).abs() < 0.001, "{spread:?}");
    assert!((spread.interval[1] - 16.843).abs() < 0.001, "{spread:?}");
    // One of two suites, which count alike.
    let mut moved = [0.0; 20];
    moved[..10].fill(100.0);
    let half = crossed_bounded(&[vec![still, of(&moved)]], 100.0).unwrap();
    assert_eq!(half, crossed(&[vec![of(&[0.0; 20]), of(&moved)]], 0));
    // One that got better says no more about losses than one that stayed.
    let mut better = [0.0; 20];
    better[0] = -100.0;
    let spread = crossed_bounded(&[vec![of(&better)]], 100.0).unwrap();
    assert!((spread.upper95 - 13.911).abs() < 0.001, "{spread:?}");
    // A single loss, under one of two seeds, says no less than none.
    let mut once = [0.0; 20];
    once[7] = 100.0;
    let one = crossed_bounded(&[vec![of(&once)], vec![of(&[0.0; 20])]], 100.0).unwrap();
    assert!(one.mean > 0.0 && one.upper95 >= 13.910, "{one:?}");
    // Two silent ones hide as much as one of both their items.
    let both = crossed_bounded(&[vec![of(&[0.0; 20]), of(&[0.0; 20])]], 100.0).unwrap();
    let pooled = 100.0 * (1.0 - 0.05f64.powf(1.0 / 40.0));
    assert!((both.upper95 - pooled).abs() < 1e-9, "{both:?}");
    assert_eq!(crossed_bounded(&[vec![]], 100.0), None);
    assert_eq!(crossed_bounded(&[], 100.0), None);
}

#[test]
fn the_mean_of_nothing_has_no_sign() {
    for nothing in [mean(&[]), stratified_mean(&[]), stratified_mean(&[vec![]])] {
        assert_eq!(nothing.to_bits(), 0.0f64.to_bits());
    }
}

#[test]
fn items_and_seeds_both_widen_the_spread() {
    let values: Vec<f64> = (0..60).map(|index| f64::from(index % 3)).collect();
    let one = vec![alone(&values)];
    let single = crossed(std::slice::from_ref(&one), 3);
    assert!((single.mean - 1.0).abs() < 1e-12);
    let interval = stratified_interval(&one, 3);
    for (one, other) in single.interval.iter().zip(interval) {
        assert!((one - other).abs() < 0.05);
    }
    // The same items, shifted from seed to seed: no number of items tells the seeds apart.
    let shifted: Vec<Vec<Vec<Observation>>> = [-2.0, 0.0, 2.0, 4.0]
        .map(|shift| {
            let values: Vec<f64> = values.iter().map(|value| value + shift).collect();
            vec![alone(&values)]
        })
        .to_vec();
    let several = crossed(&shifted, 3);
    assert!((several.mean - 2.0).abs() < 1e-12);
    let width = |spread: &Spread| spread.interval[1] - spread.interval[0];
    assert!(width(&several) > 3.0 * width(&single));
    assert!(several.interval[0] < several.upper95 && several.upper95 <= several.interval[1]);
}

/// Golden values: `tests/golden/statistics.py` (scipy.stats).
#[test]
fn known_answers_of_scipy() {
    #[derive(serde::Deserialize)]
    struct Golden {
        mcnemar: Vec<(u64, u64, f64)>,
        clopper_pearson: Vec<(u64, u64, f64)>,
        bootstrap: (Vec<f64>, [f64; 2]),
        permutation: (Vec<f64>, f64),
    }
    let golden: Golden =
        serde_json::from_str(include_str!("../../../../../tests/golden/statistics.json")).unwrap();
    for (gained, lost, p) in golden.mcnemar {
        assert!((mcnemar(gained, lost) - p).abs() < 1e-9, "{gained} {lost}");
    }
    for (hits, total, bound) in golden.clopper_pearson {
        assert!((clopper_pearson_upper(hits, total, 0.025) - bound).abs() < 1e-6);
    }
    let (values, expected) = golden.bootstrap;
    let found = interval(&alone(&values), 7);
    for side in 0..2 {
        // Two independent draws of thousands of resamples agree to about a tenth of the width.
        let width = expected[1] - expected[0];
        assert!(
            (found[side] - expected[side]).abs() < 0.1 * width,
            "{found:?} {expected:?}"
        );
    }
    let (values, p) = golden.permutation;
    assert!((sign_flip(&alone(&values), 0) - p).abs() < 1e-9);
}

#[test]
fn six_seeds_reach_their_best_p() {
    assert!((over_seeds(&[1.0, 2.0, 0.5, 0.1, 3.0, 1.0]) - 0.03125).abs() < 1e-12);
    assert!((over_seeds(&[-1.0; 10]) - 2.0 / 1024.0).abs() < 1e-12);
}

#[test]
fn clustering_widens_the_interval() {
    let values: Vec<f64> = (0..60)
        .map(|index| f64::from(u8::from(index / 6 % 2 == 0)))
        .collect();
    let mut shared = alone(&values);
    for (index, one) in shared.iter_mut().enumerate() {
        one.cluster = (index / 6).to_string();
    }
    let width = |[low, high]: [f64; 2]| high - low;
    assert!(width(interval(&shared, 1)) > 1.5 * width(interval(&alone(&values), 1)));
}

#[test]
fn nothing_lost_still_has_a_bound() {
    let bound = upper_bound(&alone(&[0.0; 100]), 0);
    assert!((bound - (1.0 - 0.025f64.powf(0.01))).abs() < 1e-9);
}

#[test]
fn a_few_losses_have_the_exact_bound_where_two_items_share_a_cluster() {
    for lost in 0..4 {
        let mut values = [0.0; 300];
        values[..lost].fill(1.0);
        let mut losses = alone(&values);
        losses[299].cluster = losses[298].cluster.clone();
        let exact = clopper_pearson_upper(lost as u64, 299, ALPHA);
        assert!(upper_bound(&losses, 3) >= exact, "{lost}");
        // A reply that leaked before and does not now makes the loss no surer.
        losses[200].value = -1.0;
        let fewer = clopper_pearson_upper(lost.saturating_sub(1) as u64, 299, ALPHA);
        assert!(upper_bound(&losses, 3) >= fewer, "{lost}");
    }
}

#[test]
fn a_loss_may_hide_in_the_smallest_stratum() {
    let pooled = |total: f64| 1.0 - ALPHA.powf(1.0 / total);
    assert!((unseen(&[100], ALPHA) - pooled(100.0)).abs() < 1e-12);
    assert!((unseen(&[40, 40, 40], ALPHA) - pooled(120.0)).abs() < 1e-12);
    let strata = [alone(&[0.0; 45]), alone(&[0.0; 17]), alone(&[0.0; 26])];
    let bound = stratified_upper_bound(&strata, 0);
    // All of it in the stratum of 17 is one way to hide.
    assert!(bound >= pooled(17.0) / 3.0, "{bound}");
    // One that was seen leaves room for more.
    for stratum in 0..3 {
        let mut once = strata.clone();
        once[stratum][0].value = 1.0;
        assert!(stratified_upper_bound(&once, 0) > bound, "{stratum}");
    }
    // Nor does any other way beat it.
    let grid = || (0..=60).map(|step| f64::from(step) / 100.0);
    for (first, second) in grid().flat_map(|one| grid().map(move |other| (one, other))) {
        let left = ALPHA / ((1.0 - first).powi(17) * (1.0 - second).powi(26));
        if left <= 1.0 {
            let third = 1.0 - left.powf(1.0 / 45.0);
            assert!(
                bound >= (first + second + third) / 3.0 - 1e-9,
                "{first} {second}"
            );
        }
    }
    assert_eq!(unseen(&[], ALPHA), 1.0);
    assert_eq!(unseen(&[10, 0], ALPHA), 1.0);
}

#[test]
fn one_more_loss_never_lowers_the_bound() {
    // Alone, and in pairs that share a cluster.
    for shared in [1, 2] {
        let mut last = 0.0;
        for lost in 0..=40 {
            let values: Vec<f64> = (0..40)
                .map(|item| f64::from(u8::from(item < lost)))
                .collect();
            let mut losses = alone(&values);
            for (item, one) in losses.iter_mut().enumerate() {
                one.cluster = format!("{:03}", item / shared);
            }
            let bound = upper_bound(&losses, 5);
            assert!(
                bound >= last && bound <= 1.0,
                "{shared} {lost}: {bound} < {last}"
            );
            assert!(bound >= lost as f64 / 40.0);
            last = bound;
        }
    }
}

#[test]
fn strata_count_alike_and_are_resampled_apart() {
    // All of the variance lies between the strata: none is left within.
    let strata = [alone(&[1.0; 30]), alone(&[0.0; 10]), Vec::new()];
    assert_eq!(stratified_mean(&strata), 0.5);
    assert_eq!(stratified_interval(&strata, 3), [0.5, 0.5]);
    // Half the width of the noisy stratum's own interval is left in a mean of two.
    let noisy = alone(&[0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    let [low, high] = interval(&noisy, 3);
    let [half_low, half_high] = stratified_interval(&[noisy, alone(&[0.0; 50])], 3);
    assert!(((half_high - half_low) - (high - low) / 2.0).abs() < 0.07);
    assert_eq!(stratified_interval(&[], 3), [0.0, 0.0]);
}

#[test]
fn holm_and_kappa_by_hand() {
    assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
    let pairs = [('a', 'a'), ('a', 'b'), ('b', 'b'), ('b', 'b')];
    assert!((kappa(&pairs) - 0.5).abs() < 1e-12);
}

proptest! {
    #[test]
    fn the_interval_holds_the_mean_and_p_is_a_probability(
        values in prop::collection::vec(-1.0f64..1.0, 2..40), seed in 0u64..50,
    ) {
        let observations = alone(&values);
        let [low, high] = interval(&observations, seed);
        let middle = mean(&observations);
        prop_assert!(low <= middle + 1e-9 && middle <= high + 1e-9 || high - low < 0.2);
        let p = no_change(&observations, seed);
        prop_assert!(p > 0.0 && p <= 1.0);
        let negated: Vec<f64> = values.iter().map(|value| -value).collect();
        prop_assert!((sign_flip(&alone(&negated), seed) - sign_flip(&observations, seed)).abs() < 0.03);
    }

    /// The order of a file's lines shows in no bit of any number.
    #[test]
    fn order_does_not_show(
        values in prop::collection::vec((0u8..9, -1.0f64..1.0), 1..60)
            .prop_flat_map(|values| (Just(values.clone()), Just(values).prop_shuffle())),
        seed in 0u64..50,
    ) {
        let as_observations = |values: &[(u8, f64)]| -> Vec<Observation> {
            values
                .iter()
                .map(|(cluster, value)| Observation { cluster: cluster.to_string(), value: *value })
                .collect()
        };
        let (one, other) = (as_observations(&values.0), as_observations(&values.1));
        prop_assert_eq!(mean(&one), mean(&other));
        prop_assert_eq!(interval(&one, seed), interval(&other, seed));
        prop_assert_eq!(upper_bound(&one, seed), upper_bound(&other, seed));
        prop_assert_eq!(no_change(&one, seed), no_change(&other, seed));
    }
}
