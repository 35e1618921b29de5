//! GGUF files: metadata and dequantized tensors, under transformers' names and layout.

use super::families;
use crate::{Error, Result};
use candle_core::Tensor;
use candle_core::quantized::gguf_file::{self, Content, Value};
use candle_core::{Device, quantized::QTensor};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Most bytes of metadata and names: some times what the largest vocabularies take. What is read of
/// them is many times as large in memory.
const LONGEST_HEAD: u64 = 64 << 20;

/// An open GGUF file.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    content: Content,
}

impl GgufFile {
    /// Reads the header. The tensors stay on disk.
    pub fn open(path: &Path) -> Result<Self> {
        let unreadable = |cause| Error::file("read", path, cause);
        let file = File::open(path).map_err(|cause| Error::file("open", path, cause))?;
        let length = file.metadata().map_err(unreadable)?.len();
        let content = Content::read(&mut Head::new(BufReader::new(file))).map_err(|cause| {
            Error::user("this is not a readable GGUF file")
                .at(path)
                .because(cause)
                .hint("the file may be truncated or of another format: download it again")
        })?;
        let file = Self {
            path: path.to_path_buf(),
            content,
        };
        file.check_shapes(length)?;
        Ok(file)
    }

    /// Refuses shapes that the file cannot hold, or whose numbers cannot be counted.
    fn check_shapes(&self, length: u64) -> Result<()> {
        for (name, tensor) in &self.content.tensor_infos {
            let dims = tensor.shape.dims();
            let count = dims.iter().try_fold(1u64, |count, width| {
                count.checked_mul(u64::try_from(*width).ok()?)
            });
            // The densest type has more than an eighth of a byte a number.
            let fits = count.is_some_and(|count| count > 0 && count / 8 <= length);
            if dims.is_empty() || !fits {
                return Err(Error::user(format!(
                    "a tensor of shape {dims:?} cannot be in a file of {length} bytes"
                ))
                .at(&self.path)
                .field(name.escape_debug().to_string())
                .hint("the file may be damaged: download it again"));
            }
        }
        Ok(())
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn value(&self, key: &str) -> Result<&Value> {
        self.content.metadata.get(key).ok_or_else(|| {
            Error::user("the GGUF metadata lacks a key")
                .at(&self.path)
                .field(key)
                .hint("convert the model again with a current llama.cpp converter")
        })
    }

    /// candle's own message would repeat the whole value, which may be a vocabulary.
    fn wrong_type(&self, key: &str) -> Error {
        let found = self.content.metadata.get(key).map(Value::value_type);
        let found = found.map_or_else(String::new, |kind| format!(" ({kind:?})"));
        Error::user(format!("a GGUF metadata value has the wrong type{found}"))
            .at(&self.path)
            .field(key)
            .hint("convert the model again with a current llama.cpp converter")
    }

    /// Whether `key` is present.
    pub fn has(&self, key: &str) -> bool {
        self.content.metadata.contains_key(key)
    }

    /// A string value.
    pub fn text(&self, key: &str) -> Result<&str> {
        self.value(key)?
            .to_string()
            .map(String::as_str)
            .map_err(|_| self.wrong_type(key))
    }

    /// A whole number of any width.
    pub fn integer(&self, key: &str) -> Result<usize> {
        let value = self.value(key)?;
        let number = match value {
            Value::I32(number) => u64::try_from(*number).ok(),
            Value::I64(number) => u64::try_from(*number).ok(),
            Value::U16(number) => Some(u64::from(*number)),
            other => other.to_u64().ok(),
        };
        number
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| {
                Error::user("a GGUF metadata value is not a whole number of 0 or more")
                    .at(&self.path)
                    .field(key)
                    .hint("convert the model again with a current llama.cpp converter")
            })
    }

    /// A floating-point value.
    pub fn number(&self, key: &str) -> Result<f64> {
        match self.value(key)? {
            Value::F32(number) => {
                // 1e-5 stored as f32 is meant as 1e-5: the shortest decimal form says what was meant.
                Ok(number.to_string().parse().unwrap_or(f64::from(*number)))
            }
            other => other.to_f64().map_err(|_| self.wrong_type(key)),
        }
    }

    /// A list of strings.
    pub fn texts(&self, key: &str) -> Result<Vec<&str>> {
        self.value(key)?
            .to_vec()
            .and_then(|values| {
                values
                    .iter()
                    .map(|value| value.to_string().map(String::as_str))
                    .collect()
            })
            .map_err(|_| self.wrong_type(key))
    }

    /// A list of signed whole numbers.
    pub fn integers(&self, key: &str) -> Result<Vec<i64>> {
        let values = self
            .value(key)?
            .to_vec()
            .map_err(|_| self.wrong_type(key))?;
        values
            .iter()
            .map(|value| match value {
                Value::I32(number) => Ok(i64::from(*number)),
                Value::U32(number) => Ok(i64::from(*number)),
                other => other.to_i64().map_err(|_| self.wrong_type(key)),
            })
            .collect()
    }

    /// A list of floating-point numbers.
    pub fn numbers(&self, key: &str) -> Result<Vec<f64>> {
        let values = self
            .value(key)?
            .to_vec()
            .map_err(|_| self.wrong_type(key))?;
        values
            .iter()
            .map(|value| {
                let number = value.to_f32().map(f64::from).or_else(|_| value.to_f64());
                number.map_err(|_| self.wrong_type(key))
            })
            .collect()
    }

    /// A truth value.
    pub fn flag(&self, key: &str) -> Result<bool> {
        self.value(key)?.to_bool().map_err(|_| self.wrong_type(key))
    }

    /// Everything that is no tensor, by its key.
    pub fn metadata(&self) -> BTreeMap<String, Value> {
        self.content.metadata.clone().into_iter().collect()
    }

    /// Names of all tensors, in GGUF's words, sorted.
    pub fn tensor_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .content
            .tensor_infos
            .keys()
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names
    }

    /// Whether the tensor is there.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// Shape of a tensor, outermost dimension first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.content
            .tensor_infos
            .get(name)
            .map(|info| info.shape.dims())
    }

    /// One tensor as it is stored.
    pub fn stored(
        &self,
        reader: &mut BufReader<File>,
        name: &str,
        device: &Device,
    ) -> Result<QTensor> {
        self.content.tensor(reader, name, device).map_err(|cause| {
            Error::user("a tensor of the GGUF file cannot be read")
                .at(&self.path)
                .field(name)
                .because(cause)
                .hint("the file may be truncated: compare its size or digest with the source")
        })
    }

    /// A reader over the file, for [`Self::stored`].
    pub fn reader(&self) -> Result<BufReader<File>> {
        File::open(&self.path)
            .map(BufReader::new)
            .map_err(|cause| Error::file("open", &self.path, cause))
    }
}

/// The beginning of a file, for candle's reader, which takes any length and divides by the alignment
/// that the file names.
struct Head<R> {
    inner: R,
    left: u64,
    /// Reads until the alignment's value: its type comes after its name.
    alignment_in: Option<u8>,
}

impl<R> Head<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            left: LONGEST_HEAD,
            alignment_in: None,
        }
    }
}

impl<R: Read> Read for Head<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut count = 0;
        // A value is seen whole or not at all.
        while count < buffer.len() {
            match self.inner.read(&mut buffer[count..])? {
                0 => break,
                more => count += more,
            }
        }
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| std::io::Error::other("its metadata are too long"))?;
        let read = &buffer[..count];
        self.alignment_in = match self.alignment_in {
            _ if read == b"general.alignment" => Some(1),
            Some(0) if read.iter().all(|byte| *byte == 0) => {
                return Err(std::io::Error::other("its alignment is 0"));
            }
            left => left.and_then(|left| left.checked_sub(1)),
        };
        Ok(count)
    }
}

impl<R: Seek> Seek for Head<R> {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.inner.seek(to)
    }

    fn stream_position(&mut self) -> std::io::Result<u64> {
        self.inner.stream_position()
    }
}

/// llama.cpp's names of the architectures whose files are read, and transformers' names of them.
const ARCHITECTURES: [(&str, &str); 4] = [
    ("llama", "llama"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
    ("gemma3", "gemma3_text"),
];

/// transformers' `model_type` of an architecture of llama.cpp's.
///
/// # Errors
/// Files of that architecture are not read.
pub fn family_of(architecture: &str) -> Result<&'static str> {
    ARCHITECTURES
        .iter()
        .find(|(name, _)| *name == architecture)
        .map(|(_, family)| *family)
        .ok_or_else(|| {
            let known: Vec<&str> = ARCHITECTURES.iter().map(|(name, _)| *name).collect();
            Error::user(format!(
                "the architecture `{architecture}` is not supported in a GGUF file"
            ))
            .hint(format!(
                "supported in GGUF files: {}; in folders with safetensors: {}",
                known.join(", "),
                families::supported()
            ))
        })
}

/// llama.cpp's name of a family, the reverse of [`family_of`].
///
/// # Errors
/// No file of that family is written.
pub fn architecture_of(family: &str) -> Result<&'static str> {
    ARCHITECTURES
        .iter()
        .find(|(_, known)| *known == family)
        .map(|(name, _)| *name)
        .ok_or_else(|| {
            let known: Vec<&str> = ARCHITECTURES.iter().map(|(_, family)| *family).collect();
            Error::user(format!("a model of `{family}` cannot be written as a GGUF file")).hint(
                format!(
                    "supported: {}; write a folder with --merge, and convert it with llama.cpp's convert_hf_to_gguf.py",
                    known.join(", ")
                ),
            )
        })
}

/// Parts of a layer: llama.cpp's names and transformers'. Of two of one name the first is Gemma 3's.
const PARTS: [(&str, &str); 14] = [
    ("attn_norm", "input_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The tensors outside the layers.
const WHOLE: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// Norms are named by where they stand, and Gemma 3 has more of them.
fn parts(architecture: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let gemma3 = architecture == "gemma3";
    PARTS.into_iter().filter(move |pair| match *pair {
        ("ffn_norm", "pre_feedforward_layernorm") | ("post_attention_norm", _) => gemma3,
        ("ffn_norm", _) => !gemma3,
        _ => true,
    })
}

/// The reverse of [`transformers_name`].
pub fn gguf_name(architecture: &str, name: &str) -> Option<String> {
    if let Some((known, _)) = WHOLE.iter().find(|(_, other)| *other == name) {
        return Some((*known).to_owned());
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (part, kind) = part.rsplit_once('.')?;
    let (known, _) = parts(architecture).find(|(_, other)| *other == part)?;
    Some(format!("blk.{layer}.{known}.{kind}"))
}

/// transformers' name of a tensor in a GGUF file of that architecture; `None` for tensors that it has
/// no use for.
pub fn transformers_name(architecture: &str, name: &str) -> Option<String> {
    if let Some((_, whole)) = WHOLE.iter().find(|(known, _)| *known == name) {
        return Some((*whole).to_owned());
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) = part.rsplit_once('.')?;
    let (_, part) = parts(architecture).find(|(known, _)| *known == part)?;
    matches!(kind, "weight" | "bias").then(|| format!("model.layers.{layer}.{part}.{kind}"))
}

/// The heads by which the rows of a tensor (transformers' name) are interleaved, if they are.
pub fn interleaved_heads(
    architecture: &str,
    name: &str,
    heads: usize,
    key_value_heads: usize,
) -> Option<usize> {
    match name.rsplit('.').nth(1) {
        Some("q_proj") if architecture == "llama" => Some(heads),
        Some("k_proj") if architecture == "llama" => Some(key_value_heads),
        _ => None,
    }
}

/// Whether a tensor (transformers' name) is a norm that llama.cpp's converter has added 1 to.
pub fn is_raised(architecture: &str, name: &str) -> bool {
    architecture == "gemma3" && name.ends_with("norm.weight")
}

/// Puts the rows of a query or key projection back in transformers' order.
///
/// llama.cpp rotates neighbouring pairs (0,1), (2,3), …; transformers rotates halves (0,h/2),
/// (1,h/2+1), …. Its converter therefore interleaves the two halves of each head's rows.
pub fn restore_rotary_rows(weight: &Tensor, heads: usize) -> Result<Tensor> {
    // A bias has a row of one number.
    let columns = weight.elem_count() / weight.dim(0)?;
    let half = weight.dim(0)? / heads / 2;
    Ok(weight
        .reshape((heads, half, 2, columns))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape(weight.shape())?)
}

/// Writes a GGUF file.
///
/// # Errors
/// What is written to fails.
pub fn write_file<'a>(
    to: &mut (impl Write + Seek),
    metadata: impl IntoIterator<Item = (&'a String, &'a Value)>,
    tensors: &[(String, QTensor)],
) -> candle_core::Result<()> {
    let metadata: Vec<(&str, &Value)> = metadata
        .into_iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let tensors: Vec<(&str, &QTensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    gguf_file::write(to, &metadata, &tensors)
}

/// The inverse of [`restore_rotary_rows`].
pub fn interleave_rotary_rows(weight: &Tensor, heads: usize) -> Result<Tensor> {
    let columns = weight.elem_count() / weight.dim(0)?;
    let half = weight.dim(0)? / heads / 2;
    Ok(weight
        .reshape((heads, 2, half, columns))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape(weight.shape())?)
}

/// The row of a file of llama.cpp's that holds `row` of transformers', for heads of `head` rows.
pub fn interleaved(row: usize, head: usize) -> usize {
    let (start, within) = (row - row % head, row % head);
    let half = head / 2;
    start + 2 * (within % half) + within / half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotary_rows_go_back_to_halves() {
        // One head of 6 rows, interleaved as llama.cpp's converter leaves them.
        let stored =
            Tensor::from_vec(vec![0f32, 3., 1., 4., 2., 5.], (6, 1), &Device::Cpu).unwrap();
        let restored = restore_rotary_rows(&stored, 1).unwrap();
        assert_eq!(
            restored.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            [0., 1., 2., 3., 4., 5.]
        );
        let again = interleave_rotary_rows(&restored, 1).unwrap();
        assert_eq!(
            again.to_vec2::<f32>().unwrap(),
            stored.to_vec2::<f32>().unwrap()
        );
        // A bias is as a weight of one column.
        let bias = restore_rotary_rows(&stored.flatten_all().unwrap(), 1).unwrap();
        assert_eq!(bias.to_vec1::<f32>().unwrap(), [0., 1., 2., 3., 4., 5.]);
        let order: Vec<usize> = (0..12).map(|row| interleaved(row, 6)).collect();
        assert_eq!(order, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }

    #[test]
    fn names_become_those_of_transformers() {
        assert_eq!(
            transformers_name("llama", "blk.12.ffn_down.weight").as_deref(),
            Some("model.layers.12.mlp.down_proj.weight")
        );
        assert_eq!(
            transformers_name("qwen2", "blk.0.attn_q.bias").as_deref(),
            Some("model.layers.0.self_attn.q_proj.bias")
        );
        assert_eq!(
            transformers_name("gemma3", "blk.0.ffn_norm.weight").as_deref(),
            Some("model.layers.0.pre_feedforward_layernorm.weight")
        );
        assert_eq!(transformers_name("llama", "rope_freqs.weight"), None);
        for (architecture, _) in ARCHITECTURES {
            for (known, _) in parts(architecture) {
                let name = format!("blk.3.{known}.weight");
                let there = transformers_name(architecture, &name).unwrap();
                assert_eq!(gguf_name(architecture, &there), Some(name));
            }
        }
    }
}
