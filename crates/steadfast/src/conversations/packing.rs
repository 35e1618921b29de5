//! Whole conversations laid end to end, without padding.

use super::tokens::Example;

/// Shorter beginnings than this are not worth sharing.
const LEAST_SHARED: usize = 8;

/// Several sequences laid end to end. Attention never crosses from one into another, but for a
/// beginning that all of them share (a system prompt, say): it is then the first sequence, read
/// once, and the others go on from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    /// All tokens, \[rows\].
    pub tokens: Vec<u32>,
    /// Length of each sequence; they sum to `tokens.len()`. Positions restart in each.
    pub lengths: Vec<usize>,
    /// Length of the shared beginning, which then is the first sequence; 0 for none.
    pub beginning: usize,
    /// The predictions that carry loss.
    pub targets: Vec<Target>,
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
    /// Lays out sequences (none empty), what they all begin with only once. Also returns the row at
    /// which the rest of each begins.
    pub fn sharing(sequences: &[&[u32]]) -> (Self, Vec<usize>) {
        let mut packed = Self::default();
        let shared = shared_beginning(sequences);
        if shared >= LEAST_SHARED {
            packed.beginning = shared;
            packed.tokens.extend_from_slice(&sequences[0][..shared]);
            packed.lengths.push(shared);
        }
        let mut starts = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            let rest = &sequence[packed.beginning..];
            starts.push(packed.tokens.len());
            packed.tokens.extend_from_slice(rest);
            packed.lengths.push(rest.len());
        }
        (packed, starts)
    }

    /// Row of the token at `place` of the sequence whose rest begins at row `start`.
    pub fn row(&self, start: usize, place: usize) -> u32 {
        let row = if place < self.beginning {
            place
        } else {
            start + place - self.beginning
        };
        row as u32
    }

    /// Turns the learn marks of an example, whose rest begins at row `start`, into targets: the token
    /// at a place is predicted at the row of the place before.
    pub fn learn(&mut self, start: usize, example: &Example) {
        for (place, &token) in example.tokens.iter().enumerate().skip(1) {
            if example.learn[place] {
                let row = self.row(start, place - 1);
                self.targets.push(Target {
                    row,
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
        self.learn(start, example);
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
        ) {
            let whole: Vec<Vec<u32>> =
                rests.iter().map(|rest| [&beginning[..], rest].concat()).collect();
            let sequences: Vec<&[u32]> = whole.iter().map(Vec::as_slice).collect();
            let (packed, starts) = Packed::sharing(&sequences);
            prop_assert_eq!(packed.lengths.iter().sum::<usize>(), packed.tokens.len());
            prop_assert!(packed.lengths.iter().all(|length| *length > 0));
            if whole.len() > 1 && beginning.len() >= LEAST_SHARED {
                prop_assert!(packed.beginning >= beginning.len());
            }
            for (sequence, start) in whole.iter().zip(starts) {
                for (place, token) in sequence.iter().enumerate() {
                    prop_assert_eq!(packed.tokens[packed.row(start, place) as usize], *token);
                }
            }
        }
    }
}
