//! Several processes that train or measure one thing together.
//!
//! All of them run the same program over the same inputs, each computes a share, and what they
//! exchange is little: gradients of what moves, scores of items, and what the first one, the *leader*,
//! finds on its disk. Only the leader writes. Alone, nothing is exchanged and no bit changes.

#[cfg(feature = "mpi")]
pub mod world;

use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Range;

/// Processes that work together. Each call but `rank` and `size` is made by all of them, in the same
/// order, and returns once all have made it.
pub trait Group {
    /// Which of them this is, from 0, the leader.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Puts the sums over all processes in the place of `values`: the same bits everywhere, and the same
    /// each time for as many processes.
    fn sum(&self, values: &mut [f32]) -> Result<()>;

    /// As [`Group::sum`].
    fn sum_doubles(&self, values: &mut [f64]) -> Result<()>;

    /// What each process gives, in the order of their ranks.
    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>>;
}

/// Bytes of one message where something large is told.
const PIECE: usize = 1 << 30;

/// A process by itself.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Group for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn sum_doubles(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(vec![mine.to_vec()])
    }
}

impl dyn Group + '_ {
    /// Whether this process is the one that writes.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there is nobody else.
    pub fn alone(&self) -> bool {
        self.size() == 1
    }

    /// This process's share of elements of these sizes: consecutive ones, about as much for each process.
    pub fn share(&self, sizes: impl Iterator<Item = usize> + Clone) -> Range<usize> {
        let total: usize = sizes.clone().sum();
        // An element is of the process whose stretch of the whole its middle lies in.
        let owner = |before: usize, size: usize| {
            ((2 * before + size) * self.size() / (2 * total).max(1)).min(self.size() - 1)
        };
        let (mut start, mut end, mut before) = (0, 0, 0);
        for (index, size) in sizes.enumerate() {
            let owner = owner(before, size);
            if owner < self.rank() {
                start = index + 1;
            }
            if owner <= self.rank() {
                end = index + 1;
            }
            before += size;
        }
        start.min(end)..end
    }

    /// Whether any process says so.
    pub fn any(&self, mine: bool) -> Result<bool> {
        if self.alone() {
            return Ok(mine);
        }
        let all = self.gather(&[u8::from(mine)])?;
        Ok(all.iter().any(|one| one == &[1]))
    }

    /// What the leader finds, bytes or an error, told to all.
    pub fn told_bytes(&self, find: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        if self.alone() {
            return find();
        }
        // First how much it is, nothing where it failed; then the whole in pieces.
        let found = self.leads().then(find);
        let length = match &found {
            Some(Ok(bytes)) => bytes.len().to_le_bytes().to_vec(),
            _ => Vec::new(),
        };
        let told = self.gather(&length)?;
        let length = told[0]
            .first_chunk()
            .map(|length| usize::from_le_bytes(*length));
        let Some(length) = length else {
            let failed = Error::outside("the leading process failed")
                .hint("what it says stands beside this");
            return found.unwrap_or(Err(failed));
        };
        let mut whole = Vec::with_capacity(length);
        let mine = found.and_then(Result::ok).unwrap_or_default();
        while whole.len() < length {
            let end = length.min(whole.len() + PIECE);
            let piece = mine.get(whole.len()..end).unwrap_or_default();
            whole.extend_from_slice(&self.gather(piece)?[0]);
        }
        Ok(whole)
    }

    /// As `told_bytes`, of a value.
    pub fn told<T: Serialize + DeserializeOwned>(
        &self,
        find: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if self.alone() {
            return find();
        }
        let unreadable = |cause: serde_json::Error| {
            Error::bug("what processes tell each other has no JSON form").because(cause)
        };
        let bytes = self.told_bytes(|| serde_json::to_vec(&find()?).map_err(unreadable))?;
        serde_json::from_slice(&bytes).map_err(unreadable)
    }

    /// The leader goes first, so that the others find on a shared disk what it has fetched.
    pub fn leader_first<T>(&self, fetch: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.alone() {
            return fetch();
        }
        if self.leads() {
            let fetched = fetch()?;
            self.gather(&[])?;
            return Ok(fetched);
        }
        self.gather(&[])?;
        fetch()
    }

    /// Fails unless all processes hold the same bytes.
    pub fn agree(&self, what: &str, mine: &[u8]) -> Result<()> {
        if self.alone() {
            return Ok(());
        }
        let all = self.gather(mine)?;
        if let Some(other) = all.iter().position(|one| *one != all[0]) {
            return Err(Error::outside(format!(
                "process {other} has another {what} than the first"
            ))
            .hint(
                "give all processes the same files, the same binary and processors of one kind",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod threads;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Somebody's place, where nothing is exchanged.
    struct Place(usize, usize);

    impl Group for Place {
        fn rank(&self) -> usize {
            self.0
        }

        fn size(&self) -> usize {
            self.1
        }

        fn sum(&self, _: &mut [f32]) -> Result<()> {
            unreachable!()
        }

        fn sum_doubles(&self, _: &mut [f64]) -> Result<()> {
            unreachable!()
        }

        fn gather(&self, _: &[u8]) -> Result<Vec<Vec<u8>>> {
            unreachable!()
        }
    }

    proptest! {
        #[test]
        fn shares_follow_each_other_and_none_has_much_more_than_its_part(
            sizes in proptest::collection::vec(0..50usize, 0..40),
            size in 1..6usize,
        ) {
            let mut next = 0;
            for rank in 0..size {
                let group: &dyn Group = &Place(rank, size);
                let share = group.share(sizes.iter().copied());
                prop_assert!(share.is_empty() || share.start == next, "{share:?} after {next}");
                next = next.max(share.end);
                let total: usize = sizes.iter().sum();
                let mine: usize = sizes[share].iter().sum();
                let largest = sizes.iter().copied().max().unwrap_or(0);
                prop_assert!(mine <= total / size + 1 + largest);
            }
            prop_assert_eq!(next, sizes.len());
        }
    }

    #[test]
    fn what_the_leader_finds_is_told_to_all_and_so_is_that_it_failed() {
        let told = threads::together(3, |group| {
            let found = group.told(|| Ok(vec![0.1, 1.0 / 3.0])).unwrap();
            let failed: Result<u8> = group.told(|| Err(Error::user("no such file")));
            let any = group.any(group.rank() == 2).unwrap();
            let same = group.agree("seed", &[7]).is_ok();
            let other = group.agree("base", &[group.rank() as u8]).is_err();
            (found, failed.unwrap_err().message, any, same, other)
        });
        for (rank, (found, failed, any, same, other)) in told.into_iter().enumerate() {
            assert_eq!(found, [0.1, 1.0 / 3.0]);
            let expected = ["no such file", "the leading process failed"][rank.min(1)];
            assert_eq!(failed, expected);
            assert!(any && same && other);
        }
    }
}
