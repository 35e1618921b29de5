//! Whole conversations laid end to end, without padding.

use super::tokens::Example;

/// Shorter beginnings than this are not worth sharing.
const LEAST_SHARED: usize = 8;

/// Several sequences laid end to end. Attention never crosses from one into another, but for a
/// beginning that the first of them share (a system prompt, say): it is then a sequence of its own,
/// read once, and they go on from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    /// All tokens, \[rows\].
    pub tokens: Vec<u32>,
    /// Length of each sequence; they sum to `tokens.len()`. Positions restart in each.
    pub lengths: Vec<usize>,
    /// What some of the sequences go on from.
    pub beginning: Beginning,
    /// The predictions that carry loss.
    pub targets: Vec<Target>,
}

/// What the sequences 1 to `followers` of a packed batch go on from: sequence 0, `rows` long. All
/// others begin by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Its rows.
    pub rows: usize,
    /// How many sequences go on from it; 0 where nothing is shared.
    pub followers: usize,
}

impl Beginning {
    /// Rows of the beginning that the sequence `index` goes on from.
    pub fn before(self, index: usize) -> usize {
        if (1..=self.followers).contains(&index) {
            self.rows
        } else {
            0
        }
    }
}

/// Where a sequence lies in a packed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first own row.
    start: usize,
    /// Tokens that it has in the shared beginning.
    before: usize,
}

impl Place {
    /// Row of the sequence's token at `place`.
    pub fn row(self, place: usize) -> u32 {
        let row = if place < self.before {
            place
        } else {
            self.start + place - self.before
        };
        row as u32
    }
}

/// The hidden state at `row` should predict `token`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Row of the packed batch whose hidden state predicts.
    pub row: u32,
    /// The token that follows.
    pub token: u32,
    /// Share of this prediction in the loss; 1 for plain cross-entropy.
    pub weight: f32,
}

/// Length of what all of several sequences (none empty) begin with; 0 for a single one. Something of
/// each always remains.
pub fn shared_beginning<S: AsRef<[u32]>>(sequences: &[S]) -> usize {
    let [first, rest @ ..] = sequences else {
        return 0;
    };
    if rest.is_empty() {
        return 0;
    }
    let first = first.as_ref();
    rest.iter().fold(first.len() - 1, |so_far, one| {
        let one = one.as_ref();
        let same = first.iter().zip(one).take_while(|(a, b)| a == b).count();
        so_far.min(same).min(one.len() - 1)
    })
}

impl Packed {
    /// Lays out sequences (none empty), what the first of them begin with only once: as many of them
    /// as saves the most rows. Also returns where each lies.
    pub fn sharing(sequences: &[&[u32]]) -> (Self, Vec<Place>) {
        let mut packed = Self::default();
        let candidates = (2..=sequences.len()).map(|followers| Beginning {
            rows: shared_beginning(&sequences[..followers]),
            followers,
        });
        let best = candidates
            .filter(|beginning| beginning.rows >= LEAST_SHARED)
            .max_by_key(|beginning| (beginning.followers - 1) * beginning.rows);
        if let Some(beginning) = best {
            packed.beginning = beginning;
            packed
                .tokens
                .extend_from_slice(&sequences[0][..beginning.rows]);
            packed.lengths.push(beginning.rows);
        }
        let mut places = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            let before = packed.beginning.before(packed.lengths.len());
            let rest = &sequence[before..];
            let start = packed.tokens.len();
            places.push(Place { start, before });
            packed.tokens.extend_from_slice(rest);
            packed.lengths.push(rest.len());
        }
        (packed, places)
    }

    /// Turns the learn marks of an example that lies at `place` into targets: a token is predicted at
    /// the row of the token before.
    pub fn learn(&mut self, place: Place, example: &Example) {
        for (index, &token) in example.tokens.iter().enumerate().skip(1) {
            if example.learn[index] {
                self.targets.push(Target {
                    row: place.row(index - 1),
                    token,
                    weight: 1.0,
                });
            }
        }
    }

    /// Appends one example, where nothing is shared.
    pub fn push(&mut self, example: &Example) {
        let start = self.tokens.len();
        self.tokens.extend_from_slice(&example.tokens);
        self.lengths.push(example.tokens.len());
        self.learn(Place { start, before: 0 }, example);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_is_found_at_its_row_and_a_shared_beginning_stands_once(
            beginning in prop::collection::vec(0u32..5, 0..20),
            rests in prop::collection::vec(prop::collection::vec(0u32..5, 1..12), 1..5),
            others in prop::collection::vec(prop::collection::vec(5u32..9, 1..12), 0..3),
        ) {
            let whole: Vec<Vec<u32>> = rests
                .iter()
                .map(|rest| [&beginning[..], rest].concat())
                .chain(others)
                .collect();
            let sequences: Vec<&[u32]> = whole.iter().map(Vec::as_slice).collect();
            let (packed, places) = Packed::sharing(&sequences);
            prop_assert_eq!(packed.lengths.iter().sum::<usize>(), packed.tokens.len());
            prop_assert!(packed.lengths.iter().all(|length| *length > 0));
            if rests.len() > 1 && beginning.len() >= LEAST_SHARED {
                let all: usize = whole.iter().map(Vec::len).sum();
                prop_assert!(packed.tokens.len() <= all - (rests.len() - 1) * beginning.len());
            }
            for (sequence, place) in whole.iter().zip(places) {
                for (index, token) in sequence.iter().enumerate() {
                    prop_assert_eq!(packed.tokens[place.row(index) as usize], *token);
                }
            }
        }
    }
}
