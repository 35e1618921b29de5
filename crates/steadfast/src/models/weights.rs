//! Named weights from safetensors shards or a GGUF file, in the layout and names of transformers: f32,
//! or linear layers as the file stores them.
//!
//! GGUF files of Llama models permute the rows of `q_proj` and `k_proj` (interleaved rotary pairs), and
//! those of Gemma hold norms with their 1 added; both are undone here, so that adapters and exports
//! are interchangeable with transformers and PEFT.

use super::blocks::frozen::Stored;
use super::families::{is_linear, is_superfluous};
use super::gguf::{self, GgufFile};
use crate::{Error, Result};
use bytemuck::Pod;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor, WithDType};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorInfo};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Weights by their transformers name (`model.layers.0.self_attn.q_proj.weight`).
pub type Weights = BTreeMap<String, Weight>;

/// One weight.
#[derive(Debug)]
pub enum Weight {
    /// f32.
    Floats(Tensor),
    /// A matrix as its file stores it.
    Stored(Stored),
    /// Not read yet.
    OnDisk(OnDisk),
}

/// A tensor in a weight file, read where its layer is built: beside the layers that are built already,
/// only the parts of one are in memory.
#[derive(Debug)]
pub struct OnDisk {
    shard: Arc<Shard>,
    name: String,
    form: Form,
    device: Device,
}

impl Weight {
    /// Its shape.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Floats(tensor) => tensor.dims().to_vec(),
            Self::Stored(stored) => stored.shape().to_vec(),
            Self::OnDisk(tensor) => tensor.shape(),
        }
    }

    /// In memory.
    pub fn read(self) -> Result<Self> {
        match self {
            Self::OnDisk(tensor) => tensor.read(),
            read => Ok(read),
        }
    }

    /// As a contiguous f32 tensor.
    pub fn into_floats(self) -> Result<Tensor> {
        match self {
            Self::Floats(tensor) => Ok(tensor.to_dtype(DType::F32)?.contiguous()?),
            Self::Stored(stored) => stored.floats(),
            Self::OnDisk(tensor) => tensor.read()?.into_floats(),
        }
    }
}

impl OnDisk {
    fn shape(&self) -> Vec<usize> {
        let known = self.shard.tensors.get(&self.name);
        known.map(|info| info.shape.clone()).unwrap_or_default()
    }

    fn read(self) -> Result<Weight> {
        let tensor = self.shard.tensor(&self.name, &self.device)?;
        let half = match tensor.dtype() {
            DType::F16 => Some(GgmlDType::F16),
            DType::BF16 => Some(GgmlDType::BF16),
            _ => None,
        };
        let floats = tensor.to_dtype(DType::F32)?;
        Ok(match half {
            // From half to f32 and back nothing is lost.
            Some(half) if self.form == Form::Stored && is_linear(&self.name) => {
                Weight::Stored(Stored::new(&QTensor::quantize(&floats, half)?, |row| row)?)
            }
            _ => Weight::Floats(floats),
        })
    }
}

impl From<Tensor> for Weight {
    fn from(tensor: Tensor) -> Self {
        Self::Floats(tensor)
    }
}

/// In which form the linear layers stay in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// f32: the fastest.
    Floats,
    /// As the file stores them: the smallest.
    Stored,
}

/// Reads a GGUF file, or the headers of a folder's safetensors shards, whose tensors are read as they
/// are taken.
pub fn read(path: &Path, form: Form, device: &Device) -> Result<Weights> {
    if path.is_dir() {
        read_safetensors(path, form, device)
    } else {
        read_gguf(path, form, device)
    }
}

/// Bytes of the files that [`read`] reads.
pub fn file_bytes(path: &Path) -> Result<u64> {
    let files = if path.is_dir() {
        shards(path)?
    } else {
        vec![path.to_owned()]
    };
    files
        .iter()
        .map(|file| {
            let metadata = std::fs::metadata(file);
            Ok(metadata
                .map_err(|cause| Error::file("read", file, cause))?
                .len())
        })
        .sum()
}

fn read_gguf(path: &Path, form: Form, device: &Device) -> Result<Weights> {
    let file = GgufFile::open(path)?;
    let architecture = file.text("general.architecture")?.to_owned();
    let heads = file.integer(&format!("{architecture}.attention.head_count"))?;
    let key_value_heads = file
        .integer(&format!("{architecture}.attention.head_count_kv"))
        .unwrap_or(heads);
    // Dequantizing is most of what loading costs, and tensors know nothing of each other.
    let known: Vec<(&str, String)> = file
        .tensor_names()
        .into_iter()
        .filter_map(|name| Some((name, gguf::transformers_name(&architecture, name)?)))
        .collect();
    known
        .into_par_iter()
        .map(|(name, known)| {
            let stored = file.stored(&mut file.reader()?, name, device)?;
            let heads = gguf::interleaved_heads(&architecture, &known, heads, key_value_heads);
            let rows = stored.shape().dims().first().copied().unwrap_or(0);
            if let Some(heads) = heads
                && !rows.is_multiple_of(heads.saturating_mul(2))
            {
                return Err(Error::user(format!("{rows} rows do not divide into {heads} heads"))
                    .at(path)
                    .field(name)
                    .hint("the metadata and the tensors do not belong together: convert the model again"));
            }
            if form == Form::Stored && is_linear(&known) {
                let order = |row| match heads {
                    Some(heads) => gguf::interleaved(row, rows / heads),
                    None => row,
                };
                return Ok((known, Weight::Stored(Stored::new(&stored, order)?)));
            }
            let weight = stored.dequantize(device)?;
            let weight = match heads {
                Some(heads) => gguf::restore_rotary_rows(&weight, heads)?,
                None if gguf::is_raised(&architecture, &known) => (weight - 1.0)?,
                None => weight,
            };
            Ok((known, Weight::Floats(weight)))
        })
        .collect::<Vec<Result<_>>>()
        // In the order of the tensors, so that of several broken ones always the same is named.
        .into_iter()
        .collect()
}

fn read_safetensors(folder: &Path, form: Form, device: &Device) -> Result<Weights> {
    let mut weights = Weights::new();
    for path in shards(folder)? {
        let shard = Arc::new(Shard::open(&path)?);
        for name in shard.names() {
            let tensor = OnDisk {
                shard: shard.clone(),
                name: name.clone(),
                form,
                device: device.clone(),
            };
            weights.insert(name, Weight::OnDisk(tensor));
        }
    }
    Ok(weights)
}

/// A weight file whose tensors are read one by one.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: File,
    /// Where the tensors begin.
    start: u64,
    tensors: BTreeMap<String, TensorInfo>,
}

impl Shard {
    /// Reads the header; tensors that no network needs are left out.
    fn open(path: &Path) -> Result<Self> {
        let failed = |cause| Error::file("read", path, cause);
        let broken = || {
            Error::user("a safetensors file cannot be read")
                .at(path)
                .hint("the file may be truncated: download it again")
        };
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(|_| broken())?;
        let start = u64::from_le_bytes(size).saturating_add(8);
        // A header that is longer than its file is damage, and must not be asked memory for.
        if start > length {
            return Err(broken());
        }
        let mut header = vec![0; (start - 8) as usize];
        file.read_exact(&mut header).map_err(failed)?;
        let header: BTreeMap<String, Value> =
            serde_json::from_slice(&header).map_err(|cause| broken().because(cause))?;
        let mut tensors = BTreeMap::new();
        let mut end = 0;
        for (name, about) in header {
            if name == "__metadata__" {
                continue;
            }
            let info: TensorInfo = serde_json::from_value(about)
                .map_err(|cause| broken().field(&name).because(cause))?;
            let (from, to) = info.data_offsets;
            if from > to {
                return Err(broken().field(name));
            }
            end = end.max(to as u64);
            if !is_superfluous(&name) {
                tensors.insert(name, info);
            }
        }
        if end != length - start {
            return Err(broken());
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            start,
            tensors,
        })
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    /// A tensor as it is stored.
    fn tensor(&self, name: &str, device: &Device) -> Result<Tensor> {
        let Some(info) = self.tensors.get(name) else {
            return Err(Error::bug(format!("a weight file was asked for `{name}`")));
        };
        match info.dtype {
            Dtype::F32 => self.numbers::<f32>(name, info, device),
            Dtype::F16 => self.numbers::<half::f16>(name, info, device),
            Dtype::BF16 => self.numbers::<half::bf16>(name, info, device),
            other => Err(
                Error::user(format!("weights of type {other:?} are not supported"))
                    .at(&self.path)
                    .field(name)
                    .hint("supported types: F32, F16, BF16"),
            ),
        }
    }

    /// Read to where they stay: a second copy of an embedding is much of a small model.
    fn numbers<T: WithDType + Pod>(
        &self,
        name: &str,
        info: &TensorInfo,
        device: &Device,
    ) -> Result<Tensor> {
        let (from, to) = info.data_offsets;
        let mut sides = info.shape.iter();
        let size = sides.try_fold(size_of::<T>(), |size, side| size.checked_mul(*side));
        if size != Some(to - from) {
            return Err(Error::user("a tensor has another size than its shape")
                .at(&self.path)
                .field(name)
                .hint("the file may be damaged: download it again"));
        }
        let mut numbers: Vec<T> = bytemuck::zeroed_vec((to - from) / size_of::<T>());
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.start + from as u64))
            .and_then(|_| file.read_exact(bytemuck::cast_slice_mut(&mut numbers)))
            .map_err(|cause| Error::file("read", &self.path, cause))?;
        Ok(Tensor::from_vec(numbers, info.shape.as_slice(), device)?)
    }
}

/// The tensors of one weight file, as it stores them; those that no network needs are left out.
pub fn read_shard(path: &Path, device: &Device) -> Result<HashMap<String, Tensor>> {
    let shard = Shard::open(path)?;
    shard
        .names()
        .into_iter()
        .map(|name| {
            let tensor = shard.tensor(&name, device)?;
            Ok((name, tensor))
        })
        .collect()
}

/// The weight files of a model folder, in the order of their names.
pub fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let index = folder.join("model.safetensors.index.json");
    if index.exists() {
        let text =
            std::fs::read_to_string(&index).map_err(|cause| Error::file("read", &index, cause))?;
        let index_of: serde_json::Value = serde_json::from_str(&text).map_err(|cause| {
            Error::user("the index of the weight files is not JSON")
                .at(&index)
                .line(cause.line())
                .because(cause)
        })?;
        let map = index_of["weight_map"].as_object().ok_or_else(|| {
            Error::user("the index names no weight files")
                .at(&index)
                .field("weight_map")
        })?;
        let wrong = |name: &dyn std::fmt::Display| {
            Error::user(format!("`{name}` is no file name"))
                .at(&index)
                .field("weight_map")
                .hint("the index may be damaged: download it again")
        };
        let names: BTreeSet<&str> = map
            .values()
            .map(|name| name.as_str().ok_or_else(|| wrong(name)))
            .collect::<Result<_>>()?;
        return names
            .into_iter()
            .map(|name| {
                // A name from a file must stay inside the folder.
                if name.contains(['/', '\\']) || name.starts_with('.') {
                    return Err(wrong(&name));
                }
                Ok(folder.join(name))
            })
            .collect();
    }
    let single = folder.join("model.safetensors");
    if single.exists() {
        return Ok(vec![single]);
    }
    Err(Error::user("the folder has no model weights")
        .at(folder)
        .hint("expected model.safetensors, or model.safetensors.index.json with its shards"))
}

#[cfg(test)]
mod tests;
