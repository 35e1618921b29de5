//! Dividing and thinning suites without chance: by SHA-256.

use crate::evaluation::items::{Item, Suite, Task};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Share of groups that go to development.
const DEVELOPMENT_SHARE: f64 = 0.3;

/// A number that `parts` alone determine.
pub(super) fn hash(parts: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        // A separator, so that ("ab", "c") and ("a", "bc") differ.
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |number, &byte| (number << 8) | u64::from(byte))
}

/// What keeps an item's twins on its side of a division: the question text, the statement,
/// XSTest's contrast pair, the conversation.
pub(super) fn group_key(item: &Item) -> &str {
    match &item.task {
        Task::Booking { .. } | Task::Request { .. } => &item.cluster,
        Task::Choice { question, .. } | Task::ShortAnswer { question, .. } => question,
        Task::Cloze { context, .. } => context,
        Task::Beginnings {
            context_options, ..
        } => context_options
            .first()
            .map_or(item.cluster.as_str(), String::as_str),
        Task::Open { instruction, .. } => instruction,
        Task::Statement { statement, .. } => statement,
    }
}

/// Divides a suite without a split of its own: about 30% of its groups for development, the rest for
/// the test, by SHA-256 of the group key. An item's side depends on its group alone, so adding rows
/// never moves others.
pub fn divide(suite: Suite) -> (Suite, Suite) {
    let (mut development, mut test) = (Vec::new(), Vec::new());
    for item in suite.items {
        let share = hash(&["divide", group_key(&item)]) as f64 / u64::MAX as f64;
        if share < DEVELOPMENT_SHARE {
            development.push(item);
        } else {
            test.push(item);
        }
    }
    let with = |items| Suite {
        name: suite.name.clone(),
        axis: suite.axis,
        items,
    };
    (with(development), with(test))
}

impl Suite {
    /// At most `count` items that `seed` determines, in file order, without the `skip` that it would take
    /// first. Clusters take turns, so that no conversation or template crowds out the others.
    pub fn thinned(mut self, skip: usize, count: usize, seed: u64) -> Suite {
        if skip == 0 && self.items.len() <= count {
            return self;
        }
        let seed = seed.to_string();
        let mut clusters: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, item) in self.items.iter().enumerate() {
            clusters.entry(&item.cluster).or_default().push(index);
        }
        // (turn within the cluster, place of the cluster in the round, item)
        let mut order: Vec<(usize, u64, usize)> = Vec::with_capacity(self.items.len());
        for (cluster, mut members) in clusters {
            members.sort_by_key(|&index| (hash(&[&seed, &self.items[index].id]), index));
            let place = hash(&[&seed, cluster]);
            order.extend(
                members
                    .into_iter()
                    .enumerate()
                    .map(|(turn, index)| (turn, place, index)),
            );
        }
        order.sort_unstable();
        let mut keep: Vec<usize> = order
            .into_iter()
            .skip(skip)
            .take(count)
            .map(|(_, _, index)| index)
            .collect();
        keep.sort_unstable();
        let mut kept = keep.into_iter().peekable();
        let mut index = 0;
        self.items.retain(|_| {
            let keeps = kept.next_if_eq(&index).is_some();
            index += 1;
            keeps
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Axis;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn suite(clusters: &[usize]) -> Suite {
        let items = clusters
            .iter()
            .enumerate()
            .map(|(index, cluster)| Item {
                id: format!("item-{index}"),
                cluster: format!("cluster-{cluster}"),
                group: None,
                task: Task::Cloze {
                    context: format!("context {}", index / 2),
                    continuation: " end".to_owned(),
                },
            })
            .collect();
        Suite {
            name: "s".to_owned(),
            axis: Axis::Knowledge,
            items,
        }
    }

    proptest! {
        #[test]
        fn a_limited_suite_is_spread_and_in_order(
            clusters in proptest::collection::vec(0usize..6, 1..60), count in 0usize..70, seed: u64,
        ) {
            let whole = suite(&clusters);
            let limited = whole.clone().thinned(0, count, seed);
            prop_assert_eq!(limited.items.len(), count.min(clusters.len()));
            prop_assert_eq!(&limited, &whole.clone().thinned(0, count, seed));
            // In file order, and every item from the suite.
            let mut rest = whole.items.iter();
            for item in &limited.items {
                prop_assert!(rest.any(|other| other == item));
            }
            // A cluster gives one more than another only if the other has no more to give.
            let tally = |suite: &Suite| {
                let mut tally: BTreeMap<String, usize> = BTreeMap::new();
                for item in &suite.items { *tally.entry(item.cluster.clone()).or_default() += 1; }
                tally
            };
            let (all, some) = (tally(&whole), tally(&limited));
            let most = some.values().copied().max().unwrap_or(0);
            for (cluster, available) in all {
                let given = some.get(&cluster).copied().unwrap_or(0);
                prop_assert!(given + 1 >= most || given == available);
            }
        }

        #[test]
        fn what_is_skipped_and_what_is_left_are_the_whole(
            clusters in proptest::collection::vec(0usize..6, 1..60), skip in 0usize..70, seed: u64,
        ) {
            let whole = suite(&clusters);
            let first = whole.clone().thinned(0, skip, seed);
            let rest = whole.clone().thinned(skip, clusters.len(), seed);
            let both: BTreeSet<&str> =
                first.items.iter().chain(&rest.items).map(|item| item.id.as_str()).collect();
            prop_assert_eq!(both.len(), whole.items.len());
            prop_assert_eq!(first.items.len() + rest.items.len(), whole.items.len());
        }

        #[test]
        fn a_division_keeps_groups_whole_and_loses_nothing(
            clusters in proptest::collection::vec(0usize..6, 1..60),
        ) {
            let whole = suite(&clusters);
            let (development, test) = divide(whole.clone());
            prop_assert_eq!(development.items.len() + test.items.len(), whole.items.len());
            for one in &development.items {
                for other in &test.items {
                    prop_assert_ne!(group_key(one), group_key(other));
                }
            }
        }
    }

    #[test]
    fn about_thirty_per_cent_is_development() {
        let (development, _) = divide(suite(&vec![0; 4000]));
        let share = development.items.len() as f64 / 4000.0;
        assert!((0.26..0.34).contains(&share), "{share}");
    }
}
