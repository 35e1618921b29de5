//! How much of a trained change is kept, the same in every layer or by depth.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What each layer's change is multiplied with: 0 is the base, 1 the tuned model.
///
/// One number for all layers is WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903). Two are LiNeS (Wang
/// et al. 2024, arXiv:2410.17146): layer ℓ of L keeps α + β·(ℓ − 1)/(L − 1), where α is [`Self::first`]
/// and α + β is [`Self::last`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Multiple {
    /// In the first layer.
    pub first: f64,
    /// In the last layer; those between lie on the line from one to the other.
    pub last: f64,
}

/// As recipes and results have it: a plain number where it is the same everywhere.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Even(f64),
    ByDepth { first: f64, last: f64 },
}

impl From<Written> for Multiple {
    fn from(written: Written) -> Self {
        match written {
            Written::Even(factor) => Self::even(factor),
            Written::ByDepth { first, last } => Self { first, last },
        }
    }
}

impl From<Multiple> for Written {
    fn from(multiple: Multiple) -> Self {
        let Multiple { first, last } = multiple;
        match multiple.everywhere() {
            Some(factor) => Self::Even(factor),
            None => Self::ByDepth { first, last },
        }
    }
}

impl Multiple {
    /// The change as it was trained.
    pub const WHOLE: Self = Self::even(1.0);

    /// The same in every layer.
    pub const fn even(factor: f64) -> Self {
        Self {
            first: factor,
            last: factor,
        }
    }

    /// Whether it is the change as it was trained.
    pub fn is_whole(self) -> bool {
        self == Self::WHOLE
    }

    /// The one factor of all layers; `None` where it depends on the layer.
    pub fn everywhere(self) -> Option<f64> {
        (self.first == self.last).then_some(self.first)
    }

    /// The factor of layer `index`, counted from 0, of `layers`. A single layer is the first.
    pub fn of_layer(self, index: usize, layers: usize) -> f64 {
        if let Some(factor) = self.everywhere() {
            return factor;
        }
        let depth = index as f64 / layers.saturating_sub(1).max(1) as f64;
        // In this form both ends are exact.
        (1.0 - depth) * self.first + depth * self.last
    }

    /// For people: what of a change is kept.
    pub fn words(self) -> String {
        self.everywhere().map_or_else(
            || {
                format!(
                    "{} in the first layer to {} in the last",
                    self.first, self.last
                )
            },
            |factor| factor.to_string(),
        )
    }

    /// As a part of a file's name.
    pub fn in_file_name(self) -> String {
        self.to_string().replace("..", "-to-")
    }
}

impl fmt::Display for Multiple {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.everywhere() {
            Some(factor) => write!(formatter, "{factor}"),
            None => write!(formatter, "{}..{}", self.first, self.last),
        }
    }
}

impl FromStr for Multiple {
    type Err = String;

    /// As [`fmt::Display`] writes it: `0.5`, or `0.2..1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.trim()
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && *number >= 0.0)
                .ok_or_else(|| {
                    "a number that is 0 or greater, or two of them, first and last layer: 0.5, 0.2..1"
                        .to_owned()
                })
        };
        match text.split_once("..") {
            Some((first, last)) => Ok(Self {
                first: number(first)?,
                last: number(last)?,
            }),
            None => number(text).map(Self::even),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn layers_lie_on_the_line_between_both_ends(
            first in 0.0f64..2.0, last in 0.0f64..2.0, layers in 2usize..100,
        ) {
            let multiple = Multiple { first, last };
            let factors: Vec<f64> = (0..layers).map(|index| multiple.of_layer(index, layers)).collect();
            prop_assert_eq!((factors[0], factors[layers - 1]), (first, last));
            let slope = (last - first) / (layers - 1) as f64;
            for pair in factors.windows(2) {
                prop_assert!((pair[1] - pair[0] - slope).abs() < 1e-12);
            }
        }

        #[test]
        fn what_is_written_is_read_back(first in 0.0f64..2.0, last in 0.0f64..2.0, same: bool) {
            let last = if same { first } else { last };
            let multiple = Multiple { first, last };
            prop_assert_eq!(multiple.to_string().parse::<Multiple>(), Ok(multiple));
            let json = serde_json::to_string(&multiple).unwrap();
            prop_assert_eq!(serde_json::from_str::<Multiple>(&json).unwrap(), multiple);
            // As before there were two: keys of kept scores are made of it.
            prop_assert!(!same || json == serde_json::to_string(&first).unwrap());
        }
    }

    #[test]
    fn one_layer_is_the_first_and_words_say_which_is_which() {
        let multiple = Multiple {
            first: 0.2,
            last: 1.0,
        };
        assert_eq!(multiple.of_layer(0, 1), 0.2);
        assert_eq!(multiple.to_string(), "0.2..1");
        assert_eq!(multiple.in_file_name(), "0.2-to-1");
        assert_eq!(multiple.words(), "0.2 in the first layer to 1 in the last");
        assert_eq!(Multiple::even(0.5).words(), "0.5");
        for wrong in ["", "..", "0.2..", "-1", "nan", "1..inf", "0.1..0.2..0.3"] {
            assert!(wrong.parse::<Multiple>().is_err(), "{wrong}");
        }
    }
}
