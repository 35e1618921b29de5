//! One GGUF file for llama.cpp and everything built on it.

pub(crate) mod metadata;
mod mixture;

use super::{Exported, bytes_under, check_all_met, check_free, folder, merged};
use crate::models::ModelConfig;
use crate::models::adapter::{Adapter, replaced};
use crate::models::gguf::{
    GgufFile, architecture_of, gguf_name, interleave_rotary_rows, interleaved_heads, is_raised,
    restore_rotary_rows, transformers_name, write_file,
};
use crate::models::language_model::{read_text, template_beside};
use crate::models::resolve::Located;
use crate::models::weights;
use crate::runs::atomic;
use crate::{Error, Result};
use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use metadata::Metadata;
use mixture::Matrix;
pub use mixture::Quantization;
use std::collections::BTreeSet;
use std::path::Path;

/// Writes base and adapter as one GGUF file, which must not exist yet. Metadata, tokenizer and template
/// of a base that is a GGUF file itself stay as they are; those of a folder are put in llama.cpp's words.
pub fn write(
    located: &Located,
    adapter: &Adapter,
    quantization: Quantization,
    file: &Path,
) -> Result<Exported> {
    check_free(file)?;
    let (mut metadata, tensors) = if located.path.is_dir() {
        from_folder(located, adapter, quantization)?
    } else {
        from_file(&located.path, adapter, quantization)?
    };
    metadata.insert(
        "general.file_type".into(),
        Value::U32(quantization.file_type()),
    );
    metadata.insert("general.quantization_version".into(), Value::U32(2));
    metadata.insert("general.alignment".into(), Value::U32(32));
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(|cause| Error::file("create", parent, cause))?;
    }
    atomic::write_with(file, |to| {
        write_file(to, &metadata, &tensors).map_err(std::io::Error::other)
    })?;
    Ok(Exported {
        path: file.to_owned(),
        bytes: bytes_under(file),
    })
}

/// What all tensors of one export share.
struct Plan<'a> {
    architecture: &'a str,
    heads: usize,
    key_value_heads: usize,
    layers: usize,
    tied: bool,
    quantization: Quantization,
}

impl Plan<'_> {
    fn heads(&self, name: &str) -> Option<usize> {
        interleaved_heads(self.architecture, name, self.heads, self.key_value_heads)
    }

    fn kind(&self, name: &str, columns: usize) -> GgmlDType {
        self.quantization.kind(Matrix {
            name,
            columns,
            layers: self.layers,
            tied: self.tied,
        })
    }
}

/// Metadata and tensors of a file.
type Parts = (Metadata, Vec<(String, QTensor)>);

fn from_file(file: &Path, adapter: &Adapter, quantization: Quantization) -> Result<Parts> {
    let base = GgufFile::open(file)?;
    let architecture = base.text("general.architecture")?.to_owned();
    let heads = base.integer(&format!("{architecture}.attention.head_count"))?;
    let key_value_heads = base
        .integer(&format!("{architecture}.attention.head_count_kv"))
        .unwrap_or(heads);
    let head = "lm_head.weight";
    let untied = !base.has_tensor("output.weight")
        && (adapter.replaced.contains_key(head)
            || adapter.replaced.contains_key("model.embed_tokens.weight"));
    let plan = Plan {
        architecture: &architecture,
        heads,
        key_value_heads,
        layers: base.integer(&format!("{architecture}.block_count"))?,
        tied: !untied && !base.has_tensor("output.weight"),
        quantization,
    };
    let mut reader = base.reader()?;
    let mut met = BTreeSet::new();
    let mut tensors = Vec::new();
    for name in base.tensor_names() {
        let stored = base.stored(&mut reader, name, &Device::Cpu)?;
        let known = transformers_name(&architecture, name);
        let path = known
            .as_deref()
            .and_then(|known| known.strip_suffix(".weight"));
        let Some(path) = path.filter(|_| stored.shape().dims().len() == 2) else {
            // Norms and whatever else is no matrix.
            tensors.push((name.to_owned(), stored));
            continue;
        };
        met.insert(path.to_owned());
        met.insert(format!("{path}.weight"));
        let mut weight = stored.dequantize(&Device::Cpu)?;
        if untied && path == "model.embed_tokens" {
            // Where the adapter brings one of the two, the other stays as it was.
            met.insert(head.to_owned());
            let weight = merged(adapter, "lm_head", weight.clone())?;
            let kind = plan.kind("output.weight", weight.dim(1)?);
            tensors.push(("output.weight".into(), QTensor::quantize(&weight, kind)?));
        }
        let changed = changes(adapter, path);
        if changed {
            weight = match plan.heads(&format!("{path}.weight")) {
                Some(heads) => {
                    let restored = restore_rotary_rows(&weight, heads)?;
                    interleave_rotary_rows(&merged(adapter, path, restored)?, heads)?
                }
                None => merged(adapter, path, weight)?,
            };
        }
        let kind = plan.kind(name, weight.dim(1)?);
        let tensor = if kind == stored.dtype() && !changed {
            stored
        } else {
            QTensor::quantize(&weight, kind)?
        };
        tensors.push((name.to_owned(), tensor));
    }
    check_all_met(adapter, &met)?;
    let mut metadata = base.metadata();
    if let Some(beside) = template_beside(file)? {
        let template = std::fs::read_to_string(&beside)
            .map_err(|cause| Error::file("read", &beside, cause))?;
        metadata.insert("tokenizer.chat_template".into(), Value::String(template));
    }
    Ok((metadata, tensors))
}

fn from_folder(located: &Located, adapter: &Adapter, quantization: Quantization) -> Result<Parts> {
    let folder = &located.path;
    let config = ModelConfig::read(folder)?;
    let at_folder = |error: Error| error.at(folder);
    let architecture = architecture_of(&config.architecture).map_err(at_folder)?;
    let mut metadata = metadata::of_config(&config, architecture).map_err(at_folder)?;
    let (tokenizer, template) = read_text(folder)?;
    let words = metadata::of_tokenizer(&tokenizer, template.source(), config.vocabulary);
    metadata.extend(words.map_err(at_folder)?);
    let name = located.id.trim_end_matches('/').rsplit('/').next();
    metadata.insert(
        "general.name".into(),
        Value::String(name.unwrap_or_default().to_owned()),
    );
    let untied = replaced::unties(adapter, &config)?;
    let plan = Plan {
        architecture,
        heads: config.heads,
        key_value_heads: config.key_value_heads,
        layers: config.layers.len(),
        tied: config.tied_embeddings && untied.is_none(),
        quantization,
    };
    let mut tensors = Vec::new();
    if let Some(divisors) = metadata::divisors(&config) {
        let divisors = Tensor::new(divisors, &Device::Cpu)?;
        let stored = QTensor::quantize(&divisors, GgmlDType::F32)?;
        tensors.push(("rope_freqs.weight".to_owned(), stored));
    }
    let mut met = BTreeSet::new();
    for shard in weights::shards(folder)? {
        let mut shard_of = weights::read_shard(&shard, &Device::Cpu)?;
        if config.tied_embeddings {
            shard_of.remove("lm_head.weight");
        }
        if let Some((embedding, head)) = &untied
            && let Some(shared) = shard_of.get(embedding).cloned()
        {
            shard_of.insert(head.clone(), shared);
        }
        let mut sorted: Vec<(String, Tensor)> = shard_of.into_iter().collect();
        sorted.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, tensor) in sorted {
            let known = gguf_name(architecture, &name).ok_or_else(|| {
                Error::user("a GGUF file has no name for a tensor of this model")
                    .at(&shard)
                    .field(name.as_str())
                    .hint("write a folder with --merge instead")
            })?;
            let tensor = folder::with_change(adapter, &name, tensor, &mut met)?;
            let mut tensor = tensor.to_dtype(DType::F32)?;
            if let Some(heads) = plan.heads(&name) {
                tensor = interleave_rotary_rows(&tensor, heads)?;
            }
            if is_raised(architecture, &name) {
                tensor = (tensor + 1.0)?;
            }
            let kind = match tensor.dims() {
                [_, columns] => plan.kind(&known, *columns),
                _ => GgmlDType::F32,
            };
            tensors.push((known, QTensor::quantize(&tensor, kind)?));
        }
    }
    check_all_met(adapter, &met)?;
    Ok((metadata, tensors))
}

fn changes(adapter: &Adapter, path: &str) -> bool {
    adapter.modules.contains_key(path) || adapter.replaced.contains_key(&format!("{path}.weight"))
}
