//! One arm: what is trained, and how.

use serde::Serialize;

/// What is allowed to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodName {
    /// ΔW = (α/r)·B·A, both train (Hu et al. 2021).
    Lora,
    /// A frozen where the old behaviour does not look, B trains.
    NullSpace,
}

impl MethodName {
    /// The words a user may write.
    pub const NAMES: [&'static str; 2] = ["lora", "null-space"];

    /// The method of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "lora" => Some(Self::Lora),
            "null-space" => Some(Self::NullSpace),
            _ => None,
        }
    }

    /// The word a user writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::NullSpace => "null-space",
        }
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
}

impl Subspace {
    /// The words a user may write.
    pub const NAMES: [&'static str; 2] = ["contrastive", "low-retain"];

    /// The subspace of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "contrastive" => Some(Self::Contrastive),
            "low-retain" => Some(Self::LowRetain),
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
    /// Weight of the disturbance tr(B·G·Bᵀ), relative to each layer's output power, in the loss.
    pub penalty: f64,
    /// Share of each batch's tokens spent on retain replies under KL(base ‖ tuned); 0 turns it off.
    pub anchor_share: f64,
    /// Weight of that KL in the loss.
    pub anchor_weight: f64,
    /// Where A is looked for.
    pub subspace: Subspace,
    /// ε = ρ·tr(C_retain)/d.
    pub rho: f64,
}

impl Default for NullSpaceSettings {
    fn default() -> Self {
        Self {
            penalty: 1.0,
            anchor_share: 0.05,
            anchor_weight: 1.0,
            subspace: Subspace::Contrastive,
            rho: 1e-2,
        }
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
    /// Only for `null-space`.
    #[serde(flatten)]
    pub null_space: Option<NullSpaceSettings>,
}

impl Hyperparameters {
    /// Sets r; α follows it, so that the adapter's scale stays what it was.
    pub fn set_rank(&mut self, rank: usize) {
        self.alpha *= rank as f64 / self.rank as f64;
        self.rank = rank;
    }

    /// The defaults of a method. `null-space` trains only B, and so bears a higher learning rate.
    pub fn defaults(method: MethodName, length: Length) -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            rank_stabilized: false,
            targets: PROJECTIONS.map(str::to_owned).to_vec(),
            learning_rate: match method {
                MethodName::Lora => 1e-3,
                MethodName::NullSpace => 2e-3,
            },
            length,
            batch_tokens: 512,
            gradient_accumulation: 1,
            warmup: 0.1,
            weight_decay: 0.0,
            clip: 1.0,
            validate_every: 20,
            early_stopping: None,
            null_space: (method == MethodName::NullSpace).then(NullSpaceSettings::default),
        }
    }
}

/// One arm of a study, before it is given a seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmSettings {
    /// Unique in the study.
    pub name: String,
    /// Where training happens; `local` in this version.
    pub provider: String,
    /// What may move.
    pub method: MethodName,
    /// How.
    pub hyperparameters: Hyperparameters,
}
