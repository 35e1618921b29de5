//! Paired comparison of two measurements: intervals and tests that respect what items share.
//!
//! Items of one conversation, template or question family are not independent, so the bootstrap
//! resamples clusters, and the sign-flip test flips whole clusters (arXiv:2411.00640 for why it
//! matters). Everything random is seeded.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF};
use std::collections::{BTreeMap, BTreeSet};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 4000;
/// Flips drawn where all of them are too many.
const FLIPS: usize = 20_000;
/// With this many clusters that changed, all sign patterns are counted.
const EXACT_CLUSTERS: usize = 16;

/// One value of one item, and the cluster that the item belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Items with the same cluster are not independent.
    pub cluster: String,
    /// The score, or the paired difference of two.
    pub value: f64,
}

/// The same observations, each value times `sign`.
pub fn signed(mut observations: Vec<Observation>, sign: f64) -> Vec<Observation> {
    for one in &mut observations {
        one.value *= sign;
    }
    observations
}

/// Mean of the values; 0 for none.
pub fn mean(observations: &[Observation]) -> f64 {
    let values = observations.iter().map(|one| one.value).collect();
    sum(values) / observations.len().max(1) as f64
}

/// Unweighted mean of the means of the strata that hold something; 0 for none.
pub fn stratified_mean(strata: &[Vec<Observation>]) -> f64 {
    let filled: Vec<f64> = strata
        .iter()
        .filter(|stratum| !stratum.is_empty())
        .map(|stratum| mean(stratum))
        .collect();
    let count = filled.len().max(1) as f64;
    sum(filled) / count
}

/// The sum, from the smallest up: floating-point addition depends on the order, the order of a file
/// should not show.
fn sum(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    // The sum of nothing is −0.0 in Rust, which JSON would show.
    values.into_iter().sum::<f64>() + 0.0
}

/// (sum, count) of each cluster, in the order of their names.
fn clusters(observations: &[Observation]) -> Vec<(f64, f64)> {
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for one in observations {
        values.entry(&one.cluster).or_default().push(one.value);
    }
    values
        .into_values()
        .map(|values| {
            let count = values.len() as f64;
            (sum(values), count)
        })
        .collect()
}

/// Stratified means of all resamples, sorted: whole clusters are drawn within each stratum, so that
/// each keeps its number of clusters, and each stratum's sum is divided by the items drawn in it.
fn bootstrap(strata: &[Vec<Observation>], seed: u64) -> Vec<f64> {
    let strata: Vec<Vec<(f64, f64)>> = strata
        .iter()
        .filter(|stratum| !stratum.is_empty())
        .map(|stratum| clusters(stratum))
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let total: f64 = strata
                .iter()
                .map(|clusters| {
                    let (mut sum, mut count) = (0.0, 0.0);
                    for _ in 0..clusters.len() {
                        let (more, items) = clusters[random.random_range(0..clusters.len())];
                        sum += more;
                        count += items;
                    }
                    sum / count
                })
                .sum();
            total / strata.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    means
}

/// 95% percentile interval of the mean, by a bootstrap over clusters. A single cluster, or none, has
/// no width to show: its interval is the mean itself.
pub fn interval(observations: &[Observation], seed: u64) -> [f64; 2] {
    stratified_interval(&[observations.to_vec()], seed)
}

/// As [`interval`], of [`stratified_mean`]: clusters are resampled within their own stratum.
pub fn stratified_interval(strata: &[Vec<Observation>], seed: u64) -> [f64; 2] {
    if strata.iter().all(Vec::is_empty) {
        return [0.0, 0.0];
    }
    let means = bootstrap(strata, seed);
    let at = |share: f64| means[((means.len() - 1) as f64 * share).round() as usize];
    [at(0.025), at(0.975)]
}

/// A mean over items and seeds, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean over seeds of the mean over strata.
    pub mean: f64,
    /// 95% percentile interval.
    pub interval: [f64; 2],
    /// Upper one-sided 95% bound.
    pub upper95: f64,
}

/// Seeds and the clusters of items are both drawn again, crossed: every drawn seed answers the same
/// drawn items. `seeds` holds the strata of each seed. With one seed this is the bootstrap over items.
pub fn crossed(seeds: &[Vec<Vec<Observation>>], random_seed: u64) -> Spread {
    // By stratum, by cluster: (sum, count) under each seed.
    let mut strata: Vec<BTreeMap<&str, Vec<(f64, f64)>>> = Vec::new();
    for (index, of_seed) in seeds.iter().enumerate() {
        strata.resize_with(strata.len().max(of_seed.len()), BTreeMap::new);
        for (stratum, observations) in strata.iter_mut().zip(of_seed) {
            for one in observations {
                let cells = stratum
                    .entry(&one.cluster)
                    .or_insert_with(|| vec![(0.0, 0.0); seeds.len()]);
                cells[index].0 += one.value;
                cells[index].1 += 1.0;
            }
        }
    }
    let strata: Vec<Vec<Vec<(f64, f64)>>> = strata
        .into_iter()
        .filter(|stratum| !stratum.is_empty())
        .map(|stratum| stratum.into_values().collect())
        .collect();
    let means: Vec<f64> = seeds.iter().map(|one| stratified_mean(one)).collect();
    let mean = means.iter().sum::<f64>() / means.len().max(1) as f64;
    if strata.is_empty() {
        return Spread {
            mean,
            interval: [mean, mean],
            upper95: mean,
        };
    }
    let mut random = ChaCha8Rng::seed_from_u64(random_seed);
    let mut draws: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut weights = vec![0.0; seeds.len()];
            for _ in 0..seeds.len() {
                weights[random.random_range(0..seeds.len())] += 1.0;
            }
            let total: f64 = strata
                .iter()
                .map(|clusters| {
                    let (mut sum, mut count) = (0.0, 0.0);
                    for _ in 0..clusters.len() {
                        let cells = &clusters[random.random_range(0..clusters.len())];
                        for ((value, items), weight) in cells.iter().zip(&weights) {
                            sum += weight * value;
                            count += weight * items;
                        }
                    }
                    // None of the drawn seeds could score any of the drawn items.
                    if count > 0.0 { sum / count } else { mean }
                })
                .sum();
            total / strata.len() as f64
        })
        .collect();
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| draws[((draws.len() - 1) as f64 * share).round() as usize];
    Spread {
        mean,
        interval: [at(0.025), at(0.975)],
        upper95: at(0.95),
    }
}

/// One-sided.
const ALPHA: f64 = 0.025;

/// Upper 97.5% bound of the mean loss, one-sided. One more loss never lowers it.
///
/// For losses of 0 or 1 of independent items the bound is exact (Clopper–Pearson) at every count;
/// with n items and no loss it is 1 − 0.025^(1/n). Otherwise it is the cluster bootstrap's, which is too
/// narrow where little was lost, and so never less than the exact bound of that loss in as many clusters.
pub fn upper_bound(losses: &[Observation], seed: u64) -> f64 {
    let total = clusters(losses).len();
    if total == 0 {
        return 1.0;
    }
    let yes_no = losses
        .iter()
        .all(|one| one.value == 0.0 || one.value == 1.0);
    if yes_no && total == losses.len() {
        let lost = losses.iter().filter(|one| one.value == 1.0).count();
        return clopper_pearson_upper(lost as u64, total as u64, ALPHA);
    }
    let mean = mean(losses).max(0.0);
    let lost = (mean * total as f64 - 1e-9).ceil() as u64;
    interval(losses, seed)[1].max(clopper_pearson_upper(lost, total as u64, ALPHA))
}

/// [`upper_bound`] for strata that count alike, however many items each has.
pub fn stratified_upper_bound(strata: &[Vec<Observation>], seed: u64) -> f64 {
    let filled: Vec<&Vec<Observation>> = strata.iter().filter(|one| !one.is_empty()).collect();
    let sizes: Vec<usize> = filled.iter().map(|one| clusters(one).len()).collect();
    match filled[..] {
        [one] => upper_bound(one, seed),
        _ => stratified_interval(strata, seed)[1]
            .max(as_much_lost(stratified_mean(strata), unseen(&sizes, ALPHA))),
    }
}

/// The exact bound of a mean loss among as many clusters as have the bound `nothing` without any: the
/// least that is said where the bootstrap sees too little.
fn as_much_lost(mean: f64, nothing: f64) -> f64 {
    let clusters = ALPHA.ln() / (-nothing).ln_1p();
    let lost = (mean.max(0.0) * clusters - 1e-9).ceil();
    exact_upper(lost, clusters, ALPHA)
}

/// The largest mean of the strata's losses at which seeing none in so many clusters of each has
/// probability ≥ `alpha`: the loss hides where few items look for it. With one stratum, or with several of
/// one size, it is 1 − alpha^(1/n) of all n clusters.
///
/// With losses pᵢ the probability is Π (1 − pᵢ)^nᵢ. Their sum is largest, for a given product, where
/// (1 − pᵢ)/nᵢ is one number for all pᵢ > 0, which are those of the smallest strata.
fn unseen(sizes: &[usize], alpha: f64) -> f64 {
    let mut sizes: Vec<f64> = sizes.iter().map(|&size| size as f64).collect();
    sizes.sort_by(f64::total_cmp);
    if sizes.first().is_none_or(|&size| size == 0.0) {
        return 1.0;
    }
    let (mut all, mut weighted, mut level) = (0.0, 0.0, f64::INFINITY);
    for size in &sizes {
        // Of the logarithm of 1/λ, λ = (1 − pᵢ)/nᵢ; a larger stratum would lose less than nothing.
        if size.ln() >= level {
            break;
        }
        all += size;
        weighted += size * size.ln();
        level = (weighted - alpha.ln()) / all;
    }
    let loss = |size: &f64| 1.0 - (size.ln() - level).exp().min(1.0);
    sizes.iter().map(loss).sum::<f64>() / sizes.len() as f64
}

/// So few clusters with a loss leave the bootstrap's upper end too low.
const FEW: usize = 5;

/// [`crossed`] of losses, whose upper ends are never less than what strata with hardly a loss leave
/// possible had they none: the bootstrap has next to no width there. `whole` is the largest loss of an item (100, in points). `None` where
/// there is no observation.
pub fn crossed_bounded(seeds: &[Vec<Vec<Observation>>], whole: f64) -> Option<Spread> {
    let strata = seeds.iter().map(Vec::len).max()?;
    let of = |index: usize| {
        seeds
            .iter()
            .filter_map(move |seed| seed.get(index))
            .flatten()
    };
    let (mut count, mut silent) = (0, Vec::new());
    for index in 0..strata {
        // Seeds answer the same items: more of them are no more clusters.
        let names: BTreeSet<&str> = of(index).map(|one| one.cluster.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        count += 1;
        let lost: BTreeSet<&str> = of(index)
            .filter(|one| one.value > 0.0)
            .map(|one| one.cluster.as_str())
            .collect();
        if lost.len() < FEW {
            silent.push(names.len());
        }
    }
    if count == 0 {
        return None;
    }
    let mut spread = crossed(seeds, 0);
    if !silent.is_empty() {
        let share = whole * silent.len() as f64 / f64::from(count);
        spread.interval[1] = spread.interval[1].max(share * unseen(&silent, ALPHA));
        spread.upper95 = spread.upper95.max(share * unseen(&silent, 0.05));
    }
    Some(spread)
}

/// The largest share p for which seeing at most `hits` of `total` has probability ≥ `alpha`.
pub fn clopper_pearson_upper(hits: u64, total: u64, alpha: f64) -> f64 {
    exact_upper(hits as f64, total as f64, alpha)
}

fn exact_upper(hits: f64, total: f64, alpha: f64) -> f64 {
    if hits >= total {
        return 1.0;
    }
    Beta::new(hits + 1.0, total - hits)
        .map(|beta| beta.inverse_cdf(1.0 - alpha))
        .unwrap_or(1.0)
}

/// McNemar's exact two-sided test for yes/no scores of independent items: of those that changed,
/// would a fair coin fall so unevenly?
pub fn mcnemar(gained: u64, lost: u64) -> f64 {
    let changed = gained + lost;
    if changed == 0 {
        return 1.0;
    }
    let fewer = gained.min(lost);
    Binomial::new(0.5, changed)
        .map(|coin| (2.0 * coin.cdf(fewer)).min(1.0))
        .unwrap_or(1.0)
}

/// Two-sided test of no change that flips the sign of whole clusters: all patterns where there are
/// few, a seeded draw with the add-one correction where there are many.
pub fn sign_flip(differences: &[Observation], seed: u64) -> f64 {
    let sums: Vec<f64> = clusters(differences)
        .into_iter()
        .map(|(sum, _)| sum)
        .filter(|sum| *sum != 0.0)
        .collect();
    if sums.is_empty() {
        return 1.0;
    }
    let seen = sums.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order may differ in their last bits.
    let as_large = |total: f64| total.abs() >= seen * (1.0 - 1e-12);
    if sums.len() <= EXACT_CLUSTERS {
        let patterns = 1u64 << sums.len();
        let extreme = (0..patterns)
            .filter(|pattern| {
                as_large(
                    sums.iter()
                        .enumerate()
                        .map(|(bit, sum)| if pattern >> bit & 1 == 1 { -sum } else { *sum })
                        .sum(),
                )
            })
            .count();
        return extreme as f64 / patterns as f64;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let extreme = (0..FLIPS)
        .filter(|_| {
            as_large(
                sums.iter()
                    .map(|sum| if random.random::<bool>() { -sum } else { *sum })
                    .sum(),
            )
        })
        .count();
    (extreme + 1) as f64 / (FLIPS + 1) as f64
}

/// p of no change for paired differences: McNemar for yes/no scores of independent items, else the
/// cluster sign-flip test.
pub fn no_change(differences: &[Observation], seed: u64) -> f64 {
    let independent = clusters(differences).len() == differences.len();
    let yes_no = differences
        .iter()
        .all(|one| [-1.0, 0.0, 1.0].contains(&one.value));
    if independent && yes_no {
        let count = |sign: f64| differences.iter().filter(|one| one.value == sign).count() as u64;
        return mcnemar(count(1.0), count(-1.0));
    }
    sign_flip(differences, seed)
}

/// Two-sided exact sign-flip test over seeds: six seeds can reach 0.03125 at best.
pub fn over_seeds(changes: &[f64]) -> f64 {
    let observations: Vec<Observation> = changes
        .iter()
        .enumerate()
        .map(|(seed, value)| Observation {
            cluster: format!("{seed:04}"),
            value: *value,
        })
        .collect();
    sign_flip(&observations, 0)
}

/// Holm's step-down correction: adjusted p in the order given.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|one, other| p[*one].total_cmp(&p[*other]));
    let mut adjusted = vec![0.0; p.len()];
    let mut floor = 0.0f64;
    for (rank, index) in order.into_iter().enumerate() {
        floor = floor.max((p[index] * (p.len() - rank) as f64).min(1.0));
        adjusted[index] = floor;
    }
    adjusted
}

/// Cohen's kappa of pairs of labels: agreement beyond what the labels' frequencies bring by chance.
pub fn kappa<L: Ord + Copy>(pairs: &[(L, L)]) -> f64 {
    let total = pairs.len().max(1) as f64;
    let agreed = pairs.iter().filter(|(one, other)| one == other).count() as f64 / total;
    let mut left: BTreeMap<L, f64> = BTreeMap::new();
    let mut right: BTreeMap<L, f64> = BTreeMap::new();
    for (one, other) in pairs {
        *left.entry(*one).or_default() += 1.0 / total;
        *right.entry(*other).or_default() += 1.0 / total;
    }
    let chance: f64 = left
        .iter()
        .map(|(label, share)| share * right.get(label).copied().unwrap_or(0.0))
        .sum();
    if chance >= 1.0 {
        1.0
    } else {
        (agreed - chance) / (1.0 - chance)
    }
}

#[cfg(test)]
mod tests;
