//! A low-rank change ΔW = s·B·A of named linear layers, and its PEFT form on disk.

use crate::Result;
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

/// The change of one linear layer y = Wx: ΔW = scale·B·A.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// [rank, in]
    pub a: Tensor,
    /// [out, rank]
    pub b: Tensor,
    /// α/r, or α/√r with rsLoRA.
    pub scale: f64,
    /// Whether backward computes the gradient of A.
    pub train_a: bool,
    /// Whether backward computes the gradient of B.
    pub train_b: bool,
}

/// All changed layers, by module path (`model.layers.0.self_attn.q_proj`).
#[derive(Clone, Debug, Default)]
pub struct Adapter {
    /// The changed layers.
    pub modules: BTreeMap<String, LowRank>,
    /// α as PEFT writes it.
    pub alpha: f64,
    /// Rank as PEFT writes it.
    pub rank: usize,
    /// Scale by α/√r.
    pub rank_stabilized: bool,
}

/// Gradients by tensor name: `<module path>.lora_A` [rank, in], `<module path>.lora_B` [out, rank].
pub type AdapterGradients = BTreeMap<String, Tensor>;

impl Adapter {
    /// Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT 0.21 writes them (atomic).
    pub fn write(&self, folder: &Path, base: &str, revision: Option<&str>) -> Result<()> {
        let _ = (folder, base, revision);
        todo!("training helper")
    }

    /// Reads a PEFT LoRA folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let _ = folder;
        todo!("training helper")
    }
}
