//! The base of a study: found, loaded, and fitted with adapters.

use crate::events::Listener;
use crate::models::resolve::{self, Located};
use crate::models::{Adapter, LanguageModel};
use crate::{Error, Result};
use candle_core::Device;

/// Finds the base; `None` is the one that is always there.
pub fn locate(id: Option<&str>, listener: &dyn Listener) -> Result<Located> {
    resolve::locate(id, listener)
}

/// Loads it on the CPU.
pub fn load(located: &Located) -> Result<LanguageModel> {
    LanguageModel::load(located, &Device::Cpu)
}

/// Each module of the adapter is a linear layer of the base, of the shape that it changes.
pub fn check_adapter(base: &LanguageModel, adapter: &Adapter) -> Result<()> {
    for (path, module) in &adapter.modules {
        let hint = "the adapter was made for another base: see base_model_name_or_path in its adapter_config.json";
        let Some(weight) = base.decoder.linear_weight(path) else {
            return Err(Error::user(format!("the base has no layer `{path}`"))
                .field(path.as_str())
                .hint(hint));
        };
        let (output, input) = weight.dims2()?;
        let found = (module.b.dim(0)?, module.a.dim(1)?);
        if found != (output, input) {
            return Err(Error::user(format!(
                "the adapter changes a layer of {}×{}, the base's is {output}×{input}",
                found.0, found.1
            ))
            .field(path.as_str())
            .hint(hint));
        }
    }
    Ok(())
}
