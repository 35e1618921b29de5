//! How much of everything a preset does: the one table of counts.

use serde::Serialize;

/// The size of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Within 12 minutes on 2 cores.
    Quick,
    /// An hour or so.
    Standard,
    /// A bigger machine.
    Full,
}

/// What a preset stands for; a recipe may set each of these by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Conversations drawn from the simulator.
    pub conversations: usize,
    /// Tokens that each arm reads in training, where it sets neither steps nor epochs.
    pub training_tokens: usize,
    /// Items taken from each suite; `None` takes all.
    pub items: Option<usize>,
    /// Retain prompts, each answered by the base.
    pub retain_prompts: usize,
    /// Tokens of retain text that the moments are made from.
    pub retain_tokens: usize,
    /// Most new tokens of a reply.
    pub reply_tokens: usize,
}

impl Preset {
    /// The words a user may write.
    pub const NAMES: [&'static str; 3] = ["quick", "standard", "full"];

    /// The preset of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "quick" => Some(Self::Quick),
            "standard" => Some(Self::Standard),
            "full" => Some(Self::Full),
            _ => None,
        }
    }

    /// The word a user writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Full => "full",
        }
    }

    /// Its counts.
    #[rustfmt::skip]
    pub fn scale(self) -> Scale {
        match self {
            Self::Quick => Scale {
                conversations: 240, training_tokens: 20_480, items: Some(48),
                retain_prompts: 48, retain_tokens: 12_000, reply_tokens: 40,
            },
            Self::Standard => Scale {
                conversations: 600, training_tokens: 80_000, items: Some(160),
                retain_prompts: 480, retain_tokens: 40_000, reply_tokens: 64,
            },
            Self::Full => Scale {
                conversations: 2_000, training_tokens: 600_000, items: None,
                retain_prompts: 700, retain_tokens: 120_000, reply_tokens: 96,
            },
        }
    }
}
