//! One arm: what is trained, and how.

use crate::models::Multiple;
use serde::Serialize;

/// What is allowed to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodName {
    /// ΔW = (α/r)·B·A, both train (Hu et al. 2021).
    Lora,
    /// LoRA under a penalty on what layers move on retained inputs; A may be kept to a subspace.
    NullSpace,
    /// LoRA with A frozen where it begins.
    RandomA,
    /// LoRA with the square of the change in the loss.
    #[serde(rename = "l2-sp")]
    L2Sp,
    /// A begins at the last eigenvectors of C_retain.
    LoraNull,
    /// The same, with A frozen.
    #[serde(rename = "lora-null-2")]
    LoraNull2,
    /// The smallest singular triples of W move.
    Milora,
    /// The smallest singular triples of W·C_retain move.
    Corda,
    /// Orthogonal to the largest singular triples of W.
    Oplora,
    /// The smallest triples of W, orthogonal to all others.
    Osft,
    /// The whole weight of each linear layer.
    Full,
}

impl MethodName {
    /// All of them, in the order in which a user meets them.
    pub const ALL: [Self; 11] = [
        Self::Lora,
        Self::NullSpace,
        Self::RandomA,
        Self::L2Sp,
        Self::LoraNull,
        Self::LoraNull2,
        Self::Milora,
        Self::Corda,
        Self::Oplora,
        Self::Osft,
        Self::Full,
    ];

    /// The words a user may write.
    pub const NAMES: [&'static str; 11] = {
        let mut names = [""; 11];
        let mut index = 0;
        while index < names.len() {
            names[index] = Self::ALL[index].name();
            index += 1;
        }
        names
    };

    /// The method of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// The word a user writes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::NullSpace => "null-space",
            Self::RandomA => "random-a",
            Self::L2Sp => "l2-sp",
            Self::LoraNull => "lora-null",
            Self::LoraNull2 => "lora-null-2",
            Self::Milora => "milora",
            Self::Corda => "corda",
            Self::Oplora => "oplora",
            Self::Osft => "osft",
            Self::Full => "full",
        }
    }

    /// Whether weights move as wholes, without a rank.
    pub fn moves_whole_weights(self) -> bool {
        self == Self::Full
    }

    /// Whether the size of the change is part of its loss.
    pub fn has_penalty(self) -> bool {
        matches!(self, Self::NullSpace | Self::L2Sp)
    }

    /// Whether where it moves can be chosen.
    pub fn has_subspace(self) -> bool {
        self == Self::NullSpace
    }

    /// Whether the method itself reads what the base says to general prompts.
    pub fn retains(self) -> bool {
        matches!(
            self,
            Self::NullSpace | Self::LoraNull | Self::LoraNull2 | Self::Corda
        )
    }
}

/// Where `null-space` looks for A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subspace {
    /// The top solutions of C_task·a = λ·(C_retain + εI)·a; A is frozen there.
    Contrastive,
    /// A trains inside the lower half of C_retain's spectrum.
    LowRetain,
    /// A is frozen where LoRA begins: a control.
    Random,
    /// A trains anywhere: penalty and anchor alone hold it.
    Free,
}

impl Subspace {
    /// The words a user may write.
    pub const NAMES: [&'static str; 4] = ["free", "low-retain", "contrastive", "random"];

    /// The subspace of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "contrastive" => Some(Self::Contrastive),
            "low-retain" => Some(Self::LowRetain),
            "random" => Some(Self::Random),
            "free" => Some(Self::Free),
            _ => None,
        }
    }
}

/// How long an arm trains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// Optimiser steps.
    Steps(usize),
    /// Passes over the data; a part of one is allowed.
    Epochs(f64),
}

/// The linear layers of a decoder block, in the order data flows through them, by the names that
/// transformers gives them.
pub const PROJECTIONS: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

/// Words that stand for several projections.
pub const TARGET_GROUPS: [&str; 3] = ["all", "attention", "mlp"];

/// The projections that a word stands for (`all`, `attention`, `mlp`, or one projection's name).
pub fn projections(word: &str) -> Option<&'static [&'static str]> {
    match word {
        "all" => Some(&PROJECTIONS),
        "attention" => Some(&PROJECTIONS[..4]),
        "mlp" => Some(&PROJECTIONS[4..]),
        name => PROJECTIONS
            .iter()
            .position(|projection| *projection == name)
            .map(|index| &PROJECTIONS[index..=index]),
    }
}

/// What only `null-space` knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NullSpaceSettings {
    /// Where A is looked for.
    pub subspace: Subspace,
    /// ε = ρ·tr(C_retain)/d.
    pub rho: f64,
}

impl Default for NullSpaceSettings {
    fn default() -> Self {
        Self {
            subspace: Subspace::Free,
            rho: 1e-2,
        }
    }
}

/// What is done with the base's own replies while training. Any method can have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnchorKind {
    /// KL(base ‖ tuned) on their tokens is added to the loss.
    Kl,
    /// They are learnt as any text (replay).
    Replay,
}

impl AnchorKind {
    /// The words a user may write.
    pub const NAMES: [&'static str; 2] = ["kl", "replay"];

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "kl" => Some(Self::Kl),
            "replay" => Some(Self::Replay),
            _ => None,
        }
    }
}

/// Retained replies in the loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnchorSettings {
    /// What is done with them.
    #[serde(rename = "anchor")]
    pub kind: AnchorKind,
    /// Tokens of them read for each training token; 0 turns them off.
    #[serde(rename = "anchor_share")]
    pub share: f64,
    /// Weight of their mean in the loss.
    #[serde(rename = "anchor_weight")]
    pub weight: f64,
    /// Of each reply only so many first tokens, so that as many tokens reach more replies; `None` reads them
    /// whole.
    #[serde(rename = "anchor_tokens", skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
}

impl AnchorSettings {
    /// Whether any are read.
    pub fn is_on(&self) -> bool {
        self.share > 0.0
    }

    /// How many tokens it reads of a reply of so many.
    pub fn tokens_of(&self, reply: usize) -> usize {
        self.tokens.map_or(reply, |most| most.min(reply))
    }

    /// What it reads of a reply.
    pub fn part<'a>(&self, reply: &'a [u32]) -> &'a [u32] {
        &reply[..self.tokens_of(reply.len())]
    }
}

/// Everything that decides what training does, defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hyperparameters {
    /// Rank r of the adapter.
    pub rank: usize,
    /// α: the adapter is scaled by α/r.
    pub alpha: f64,
    /// Scale by α/√r instead.
    pub rank_stabilized: bool,
    /// The projections that are adapted, in every layer.
    pub targets: Vec<String>,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps or epochs.
    #[serde(flatten)]
    pub length: Length,
    /// Most tokens of one packed batch.
    pub batch_tokens: usize,
    /// Batches whose gradients make one step.
    pub gradient_accumulation: usize,
    /// Share of the steps that warm up.
    pub warmup: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest gradient norm.
    pub clip: f64,
    /// Steps between validations; 0 validates only at the end.
    pub validate_every: usize,
    /// Validations without improvement after which training stops; `None` never stops early.
    pub early_stopping: Option<usize>,
    /// Weight of the size of the change in the loss: for `null-space` its disturbance tr(B·G·Bᵀ)
    /// relative to each layer's output power, for `l2-sp` its square relative to the weight's.
    pub penalty: f64,
    /// Retained replies in the loss.
    #[serde(flatten)]
    pub anchor: AnchorSettings,
    /// Only for `null-space`.
    #[serde(flatten)]
    pub null_space: Option<NullSpaceSettings>,
}

/// Most steps of a training: its plan is made beforehand, and held.
pub const MOST_STEPS: usize = 1_000_000;

/// Most passes over the data, for the same reason.
pub const MOST_EPOCHS: f64 = 1000.0;

/// Most batches of a step, for the same reason.
pub const MOST_ACCUMULATION: usize = 1000;

/// Highest rank: more than any adapter has, and far from what cannot be held.
pub const MOST_RANK: usize = 4096;

impl Hyperparameters {
    /// Sets r; α follows it, so that the adapter's scale stays what it was.
    pub fn set_rank(&mut self, rank: usize) {
        self.alpha *= rank as f64 / self.rank as f64;
        self.rank = rank;
    }

    /// The defaults of a method. Where only B trains, or the change is held, a higher learning rate is
    /// borne.
    pub fn defaults(method: MethodName, length: Length) -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            rank_stabilized: false,
            targets: PROJECTIONS.map(str::to_owned).to_vec(),
            learning_rate: match method {
                MethodName::NullSpace => 3e-3,
                MethodName::RandomA | MethodName::LoraNull2 => 2e-3,
                // Every weight moves: a tenth of what a low rank bears.
                MethodName::Full => 1e-4,
                _ => 1e-3,
            },
            length,
            batch_tokens: 512,
            gradient_accumulation: 1,
            warmup: 0.1,
            weight_decay: 0.0,
            clip: 1.0,
            validate_every: 20,
            early_stopping: None,
            penalty: match method {
                // With the anchor's share below; ten times as much learnt less: see docs/decisions.md.
                MethodName::NullSpace => 3.0,
                MethodName::L2Sp => 1.0,
                _ => 0.0,
            },
            anchor: AnchorSettings {
                kind: AnchorKind::Kl,
                share: if method == MethodName::NullSpace {
                    0.3
                } else {
                    0.0
                },
                weight: 1.0,
                tokens: None,
            },
            null_space: (method == MethodName::NullSpace).then(NullSpaceSettings::default),
        }
    }
}

/// An arm's name with what its change is multiplied with, where that is not 1.
pub fn setting(arm: &str, scale: Multiple) -> String {
    if scale.is_whole() {
        arm.to_owned()
    } else {
        format!("{arm}*{scale}")
    }
}

/// What an arm stands for where finalists are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A setting of what is to be beaten.
    Yardstick,
    /// A setting of what should beat it.
    Candidate,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Yardstick, Self::Candidate];

    /// The words a user may write.
    pub const NAMES: [&'static str; 2] = ["yardstick", "candidate"];

    /// The role of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The word a user writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yardstick => "yardstick",
            Self::Candidate => "candidate",
        }
    }
}

/// One arm of a study, before it is given a seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmSettings {
    /// Unique in the study.
    pub name: String,
    /// Where training happens: `local`; others are [`super::HostedArm`]s.
    pub provider: String,
    /// What may move.
    pub method: MethodName,
    /// How.
    pub hyperparameters: Hyperparameters,
    /// What it stands for where finalists are chosen; `None` is shown and never chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Each of these multiples of the trained change is measured: interpolation between the base (0)
    /// and the tuned model (1).
    pub scales: Vec<Multiple>,
}
