//! An adapter as PEFT writes it.

use super::{Adapter, CONFIG_FILE, PREFIX, TENSOR_FILE, WHOLE, divisor};
use crate::runs::atomic;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// The version of PEFT whose files these are.
const PEFT_VERSION: &str = "0.21.0";

impl Adapter {
    /// Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT 0.21 writes them.
    ///
    /// The tensors go first, so that a folder with a config always has them.
    pub fn write(&self, folder: &Path, base: &str, revision: Option<&str>) -> Result<()> {
        self.check_plain()?;
        std::fs::create_dir_all(folder).map_err(|cause| Error::file("create", folder, cause))?;
        let mut tensors = BTreeMap::new();
        for (path, module) in &self.modules {
            let parts: &[(&str, &Tensor)] = if module.whole {
                &[("change", &module.b)]
            } else {
                &[("lora_A", &module.a), ("lora_B", &module.b)]
            };
            for (part, tensor) in parts {
                let tensor = tensor.to_device(&Device::Cpu)?.contiguous()?;
                tensors.insert(format!("{PREFIX}{path}.{part}.weight"), tensor);
            }
        }
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = safetensors::serialize(&tensors, Some(metadata))
            .map_err(|cause| Error::bug("the adapter cannot be serialized").because(cause))?;
        atomic::write(&folder.join(TENSOR_FILE), &bytes)?;
        let mut config = serde_json::to_string_pretty(&self.config(base, revision))
            .map_err(|cause| Error::bug("the adapter's config has no JSON form").because(cause))?;
        config.push('\n');
        atomic::write(&folder.join(CONFIG_FILE), config.as_bytes())
    }

    /// PEFT's word for the kind of change. It has none for changes of whole weights, and says so when
    /// it is given ours.
    fn kind(&self) -> &'static str {
        if self.modules.values().any(|module| module.whole) {
            WHOLE
        } else {
            "LORA"
        }
    }

    /// PEFT's settings, keys sorted.
    fn config(
        &self,
        base: &str,
        revision: Option<&str>,
    ) -> BTreeMap<&'static str, serde_json::Value> {
        let targets: BTreeSet<&str> = self
            .modules
            .keys()
            .filter_map(|path| path.rsplit('.').next())
            .collect();
        let (ranks, alphas) = self.patterns();
        BTreeMap::from([
            ("alpha_pattern", json!(alphas)),
            ("auto_mapping", json!(null)),
            ("base_model_name_or_path", json!(base)),
            ("bias", json!("none")),
            ("exclude_modules", json!(null)),
            ("fan_in_fan_out", json!(false)),
            ("inference_mode", json!(true)),
            ("init_lora_weights", json!(true)),
            ("layers_pattern", json!(null)),
            ("layers_to_transform", json!(null)),
            ("lora_alpha", whole_or_not(self.alpha)),
            ("lora_dropout", json!(0.0)),
            ("modules_to_save", json!(null)),
            ("peft_type", json!(self.kind())),
            ("peft_version", json!(PEFT_VERSION)),
            ("r", json!(self.rank)),
            ("rank_pattern", json!(ranks)),
            ("revision", json!(revision)),
            ("target_modules", json!(targets)),
            ("task_type", json!("CAUSAL_LM")),
            ("use_dora", json!(false)),
            ("use_rslora", json!(self.rank_stabilized)),
        ])
    }

    /// Ranks and α of the modules whose own are not those of the whole, by path.
    fn patterns(&self) -> (BTreeMap<&str, usize>, BTreeMap<&str, serde_json::Value>) {
        let (mut ranks, mut alphas) = (BTreeMap::new(), BTreeMap::new());
        for (path, module) in self.modules.iter().filter(|(_, module)| !module.whole) {
            let rank = module.a.dims()[0];
            let alpha = module.scale * divisor(rank as f64, self.rank_stabilized);
            if rank != self.rank {
                ranks.insert(path.as_str(), rank);
            }
            if (alpha - self.alpha).abs() > 1e-9 * self.alpha.abs() {
                alphas.insert(path.as_str(), whole_or_not(alpha));
            }
        }
        (ranks, alphas)
    }
}

/// PEFT writes whole alphas without a fraction.
fn whole_or_not(alpha: f64) -> serde_json::Value {
    if alpha.fract() == 0.0 {
        json!(alpha as i64)
    } else {
        json!(alpha)
    }
}
