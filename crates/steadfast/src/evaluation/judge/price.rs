//! What a judge costs: prices, and an estimate before.

use super::Question;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// Read.
    pub input: f64,
    /// Written.
    pub output: f64,
}

#[derive(Deserialize)]
struct Table {
    as_of: String,
    models: BTreeMap<String, [f64; 2]>,
}

/// Tokens of a message beside its text: its role and its bounds.
const FRAME_TOKENS: u64 = 32;

impl Price {
    /// Nothing to pay.
    pub const FREE: Self = Self {
        input: 0.0,
        output: 0.0,
    };

    /// Parses `IN,OUT`, dollars for a million tokens.
    ///
    /// # Errors
    /// A user error about `field`.
    pub fn parse(text: &str, field: &str) -> Result<Self> {
        let number = |text: &str| {
            let number: Option<f64> = text.trim().parse().ok();
            number.filter(|number| number.is_finite() && *number >= 0.0)
        };
        text.split_once(',')
            .and_then(|(input, output)| {
                Some(Self {
                    input: number(input)?,
                    output: number(output)?,
                })
            })
            .ok_or_else(|| {
                Error::user(format!("`{text}` is no price"))
                    .field(field)
                    .hint("give dollars for a million tokens in and out, such as: 0.15,0.60")
            })
    }

    /// The price of one of OpenAI's own models, and the day it was noted, where the table has it.
    pub fn known(model: &str) -> Option<(Self, String)> {
        // The table is shipped: a test reads it.
        let table: Table = toml::from_str(include_str!("../../../data/judge_prices.toml")).ok()?;
        let [input, output] = table.models.get(family(model)).copied()?;
        Some((Self { input, output }, table.as_of))
    }

    /// Dollars for so many tokens.
    pub fn of(self, input: u64, output: u64) -> f64 {
        (self.input * input as f64 + self.output * output as f64) / 1e6
    }

    /// What a question likely costs: four bytes a token, as English has.
    pub fn likely(self, question: &Question) -> f64 {
        self.of(bytes(question) / 4 + FRAME_TOKENS, 60)
    }

    /// What a question can cost at most: no tokenizer of bytes makes more tokens than bytes.
    pub fn most(self, question: &Question, answer_tokens: u64) -> f64 {
        self.of(bytes(question) + FRAME_TOKENS, answer_tokens)
    }
}

fn bytes(question: &Question) -> u64 {
    (question.system.len() + question.prompt.len()) as u64
}

/// `gpt-4o-mini-2024-07-18` is of the family `gpt-4o-mini`.
fn family(model: &str) -> &str {
    let dated = |date: &str| {
        date.len() == 10
            && date.char_indices().all(|(index, letter)| match index {
                4 | 7 => letter == '-',
                _ => letter.is_ascii_digit(),
            })
    };
    model
        .len()
        .checked_sub(11)
        .filter(|at| model.is_char_boundary(*at))
        .map(|at| model.split_at(at))
        .and_then(|(family, rest)| {
            rest.strip_prefix('-')
                .filter(|date| dated(date))
                .map(|_| family)
        })
        .unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_and_families_known() {
        let price = Price::parse(" 0.15, 0.6", "--judge-price").unwrap();
        assert_eq!(Price::known("gpt-4o-mini").unwrap().0, price);
        assert_eq!(Price::known("gpt-4o-mini-2024-07-18").unwrap().0, price);
        assert_eq!(Price::known("gpt-4o-mini-audio"), None);
        assert_eq!(Price::known("äääääääääää"), None);
        for wrong in ["", "1", "1,x", "-1,2", "nan,1", "inf,1"] {
            assert!(Price::parse(wrong, "--judge-price").is_err(), "{wrong}");
        }
        assert!((price.of(2_000_000, 1_000_000) - 0.9).abs() < 1e-12);
    }
}
