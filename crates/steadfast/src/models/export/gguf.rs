//! A GGUF file, as llama.cpp reads it.

use super::{Exported, bytes_under, check_all_met, check_free, merged};
use crate::models::adapter::Adapter;
use crate::models::gguf::{
    GgufFile, interleave_rotary_rows, interleaved_heads, restore_rotary_rows, transformers_name,
    write_file,
};
use crate::models::resolve::Located;
use crate::runs::atomic;
use crate::{Error, Result};
use candle_core::Device;
use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor};
use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;

/// How matrices are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantization {
    /// 4 bytes a weight.
    F32,
    /// 2 bytes a weight.
    #[default]
    F16,
    /// 8 bits a weight, blocks of 32 with a scale.
    Q8_0,
    /// 4 bits a weight, blocks of 32 with a scale.
    Q4_0,
    /// 4 bits a weight, blocks of 32 with a scale and a least value.
    Q4_1,
}

impl Quantization {
    /// All, with the words a user may write.
    pub const ALL: [(&'static str, Self); 5] = [
        ("F32", Self::F32),
        ("F16", Self::F16),
        ("Q8_0", Self::Q8_0),
        ("Q4_0", Self::Q4_0),
        ("Q4_1", Self::Q4_1),
    ];

    fn kind(self) -> GgmlDType {
        match self {
            Self::F32 => GgmlDType::F32,
            Self::F16 => GgmlDType::F16,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
        }
    }

    /// llama.cpp's `general.file_type`.
    fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q8_0 => 7,
        }
    }

    /// The embedding is the output head too, or as delicate: 4 bits are too few for it.
    fn of_embedding(self) -> Self {
        match self {
            Self::Q4_0 | Self::Q4_1 => Self::Q8_0,
            other => other,
        }
    }
}

/// Writes base and adapter as one GGUF file, which must not exist yet. Metadata, tokenizer and
/// template are those of the base, which must be a GGUF file itself.
pub fn write(
    located: &Located,
    adapter: &Adapter,
    quantization: Quantization,
    file: &Path,
) -> Result<Exported> {
    check_free(file)?;
    if located.path.is_dir() {
        return Err(
            Error::user("a GGUF file can be written for a base that is one itself")
                .at(&located.path)
                .hint("write a folder with --merge, and convert it with llama.cpp's convert_hf_to_gguf.py"),
        );
    }
    let base = GgufFile::open(&located.path)?;
    let architecture = base.text("general.architecture")?.to_owned();
    let heads = base.integer(&format!("{architecture}.attention.head_count"))?;
    let key_value_heads = base
        .integer(&format!("{architecture}.attention.head_count_kv"))
        .unwrap_or(heads);
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
        let mut weight = stored.dequantize(&Device::Cpu)?;
        if adapter.modules.contains_key(path) {
            let name = format!("{path}.weight");
            let heads = interleaved_heads(&architecture, &name, heads, key_value_heads);
            weight = match heads {
                Some(heads) => {
                    let restored = restore_rotary_rows(&weight, heads)?;
                    interleave_rotary_rows(&merged(adapter, path, restored)?, heads)?
                }
                None => merged(adapter, path, weight)?,
            };
        }
        let embedding = path == "model.embed_tokens" || path == "lm_head";
        let asked = if embedding {
            quantization.of_embedding()
        } else {
            quantization
        };
        // Rows that do not divide into blocks cannot be stored in them.
        let kind = if weight.dim(1)? % asked.kind().block_size() == 0 {
            asked.kind()
        } else {
            GgmlDType::F16
        };
        let untouched = kind == stored.dtype() && !adapter.modules.contains_key(path);
        let tensor = if untouched {
            stored
        } else {
            QTensor::quantize(&weight, kind)?
        };
        tensors.push((name.to_owned(), tensor));
    }
    check_all_met(adapter, &met)?;

    let mut metadata = base.metadata();
    metadata.insert(
        "general.file_type".into(),
        Value::U32(quantization.file_type()),
    );
    metadata.insert("general.quantization_version".into(), Value::U32(2));
    metadata.insert("general.alignment".into(), Value::U32(32));
    let mut bytes = Cursor::new(Vec::new());
    write_file(&mut bytes, &metadata, &tensors)
        .map_err(|cause| Error::bug("the GGUF file cannot be put together").because(cause))?;
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(|cause| Error::file("create", parent, cause))?;
    }
    atomic::write(file, bytes.get_ref())?;
    Ok(Exported {
        path: file.to_owned(),
        bytes: bytes_under(file),
    })
}
