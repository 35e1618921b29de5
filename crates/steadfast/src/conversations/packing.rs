//! Whole conversations laid end to end, without padding.
use super::tokens::Example;

/// Several sequences laid end to end. Attention never crosses from one into another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    /// All tokens, \[rows\].
    pub tokens: Vec<u32>,
    /// Length of each sequence; they sum to `tokens.len()`. Positions restart at 0 in each.
    pub lengths: Vec<usize>,
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

impl Packed {
    /// Appends one example, its `learn` marks turned into targets (token i is predicted at row i−1).
    pub fn push(&mut self, example: &Example) {
        let start = self.tokens.len();
        for (index, &token) in example.tokens.iter().enumerate().skip(1) {
            if example.learn[index] {
                self.targets.push(Target {
                    row: (start + index - 1) as u32,
                    token,
                    weight: 1.0,
                });
            }
        }
        self.tokens.extend_from_slice(&example.tokens);
        self.lengths.push(example.tokens.len());
    }
}
