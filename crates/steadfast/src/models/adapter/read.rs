//! An adapter from PEFT's files, or from ours of changed whole weights.

use super::config::Config;
use super::{Adapter, CONFIG_FILE, Identities, LowRank, PREFIX, TENSOR_FILE, dora};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::Path;

/// How many times as wide as it is high a weight may be: some times what real layers are.
const WIDEST: usize = 256;

const CHANGE: &str = ".change.weight";
const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";

const DAMAGED: &str = "the file is damaged: copy the adapter again";

impl Adapter {
    /// The rank of the adapter in `folder`, without reading its tensors.
    ///
    /// # Errors
    /// As [`Adapter::read`], of its config.
    pub fn rank_in(folder: &Path) -> Result<usize> {
        Ok(Config::read(folder)?.r)
    }

    /// Reads a PEFT LoRA folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let config = Config::read(folder)?;
        let scales = config
            .scales()
            .map_err(|error| error.at(folder.join(CONFIG_FILE)))?;
        let file = folder.join(TENSOR_FILE);
        let tensors = candle_core::safetensors::load(&file, &Device::Cpu).map_err(|cause| {
            Error::user("the adapter's tensors cannot be read")
                .at(&file)
                .because(cause)
                .hint("the file may be missing or truncated: copy the adapter again")
        })?;
        let read = || {
            let mut adapter = Self {
                alpha: config.lora_alpha,
                rank: config.r,
                rank_stabilized: config.use_rslora,
                ..Self::default()
            };
            adapter.take_whole_weights(&tensors)?;
            adapter.take_factors(&tensors, |path| scales.of(path))?;
            adapter.take_the_rest(&tensors)?;
            dora::check(config.use_dora, &adapter.modules, &adapter.magnitudes)?;
            if adapter.modules.is_empty() && adapter.replaced.is_empty() {
                return Err(Error::user("the adapter changes no layer")
                    .hint("expected tensors named base_model.model.<path>.lora_A.weight"));
            }
            Ok(adapter)
        };
        read().map_err(|error| error.at(&file))
    }

    fn take_whole_weights(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        let mut identities = Identities::default();
        for (name, change) in tensors {
            let Some(module) = name.strip_suffix(CHANGE) else {
                continue;
            };
            let (height, width) = change.dims2().map_err(|_| {
                Error::user(format!(
                    "the change of a weight has shape {:?}, not two dimensions",
                    change.dims()
                ))
                .field(name.as_str())
                .hint(DAMAGED)
            })?;
            // Its identity is width × width: that must stay in proportion to what the file holds.
            if height == 0 || width == 0 || width / height > WIDEST {
                return Err(Error::user(format!(
                    "the change of a weight has shape [{height}, {width}], which no layer has"
                ))
                .field(name.as_str())
                .hint(DAMAGED));
            }
            let change = change.to_dtype(DType::F32)?;
            let whole = LowRank::whole(change, identities.of(width)?);
            self.modules.insert(bare(module).to_owned(), whole);
        }
        Ok(())
    }

    fn take_factors(
        &mut self,
        tensors: &HashMap<String, Tensor>,
        scale_of: impl Fn(&str) -> f64,
    ) -> Result<()> {
        for (name, a) in tensors {
            let Some(module) = name.strip_suffix(A) else {
                continue;
            };
            let b_name = format!("{module}{B}");
            let b = tensors.get(&b_name).ok_or_else(|| {
                Error::user("a lora_A has no lora_B beside it")
                    .field(name.as_str())
                    .hint(DAMAGED)
            })?;
            let (rank, _) = matrix(name, a)?;
            let (_, columns) = matrix(&b_name, b)?;
            if rank == 0 {
                return Err(Error::user("a low-rank factor has no rows")
                    .field(name.as_str())
                    .hint(DAMAGED));
            }
            if columns != rank {
                return Err(Error::user(format!(
                    "lora_A has {rank} rows and lora_B {columns} columns: both are the rank"
                ))
                .field(name.as_str())
                .hint("the two factors are of different adapters: copy the adapter again"));
            }
            let path = bare(module);
            let factors = LowRank {
                a: a.to_dtype(DType::F32)?,
                b: b.to_dtype(DType::F32)?,
                whole: false,
                scale: scale_of(path),
                train_a: false,
                train_b: false,
            };
            self.modules.insert(path.to_owned(), factors);
        }
        Ok(())
    }

    /// DoRA's magnitudes, and whole modules in the place of the base's.
    fn take_the_rest(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        for (name, tensor) in tensors {
            let bare = bare(name);
            if let Some(path) = bare.strip_suffix(B)
                && !self.modules.contains_key(path)
            {
                return Err(Error::user("a lora_B stands without its lora_A")
                    .field(name.as_str())
                    .hint(DAMAGED));
            }
            if [CHANGE, A, B].iter().any(|end| bare.ends_with(end)) {
                continue;
            }
            let tensor = tensor.to_dtype(DType::F32)?;
            // Older files of PEFT name the magnitude's tensor too.
            let magnitude = bare.strip_suffix(".weight").unwrap_or(bare);
            if let Some(path) = magnitude.strip_suffix(".lora_magnitude_vector") {
                self.magnitudes.insert(path.to_owned(), tensor);
            } else if bare.contains("lora_") {
                return Err(Error::user("the adapter changes more than linear layers")
                    .field(name.as_str())
                    .hint(
                        "supported: adapters of linear layers, and whole modules (modules_to_save)",
                    ));
            } else {
                self.replaced.insert(bare.to_owned(), tensor);
            }
        }
        Ok(())
    }
}

/// Without what PEFT puts before it.
fn bare(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn matrix(name: &str, tensor: &Tensor) -> Result<(usize, usize)> {
    tensor.dims2().map_err(|_| {
        Error::user(format!(
            "a low-rank factor has shape {:?}, not two dimensions",
            tensor.dims()
        ))
        .field(name)
        .hint("supported: adapters of linear layers, as PEFT writes them")
    })
}
