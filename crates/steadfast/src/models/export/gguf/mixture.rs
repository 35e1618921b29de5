//! How each matrix of a GGUF file is stored.
//!
//! `Q4_K_M` is llama.cpp's mixture (its `llama-quant.cpp`): 4 bits in super-blocks of 256, and 6 where
//! an error costs most: the head, and values and `down` of the first and last eighth of the layers and
//! of every third between. A row that no super-block divides is stored in the blocks of 32 that
//! llama.cpp takes then.

use candle_core::quantized::GgmlDType;

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
    /// 4 to 6 bits a weight, super-blocks of 256 with scales of 16 or 32.
    Q4KM,
    /// 4 bits a weight, blocks of 32 with a scale.
    Q4_0,
    /// 4 bits a weight, blocks of 32 with a scale and a least value.
    Q4_1,
}

/// Which matrix is stored.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// llama.cpp's name of it.
    pub name: &'a str,
    /// Numbers in a row.
    pub columns: usize,
    /// Layers of the model.
    pub layers: usize,
    /// Whether the embedding is the head too.
    pub tied: bool,
}

impl Matrix<'_> {
    fn is_head(&self) -> bool {
        self.name == "output.weight" || (self.tied && self.name == "token_embd.weight")
    }

    /// The layer and the part of a matrix of one (`7`, `attn_v`).
    fn part(&self) -> Option<(usize, &str)> {
        let (layer, part) = self.name.strip_prefix("blk.")?.split_once('.')?;
        Some((layer.parse().ok()?, part.strip_suffix(".weight")?))
    }

    /// llama.cpp's `use_more_bits`.
    fn matters(&self) -> bool {
        let Some((layer, part)) = self.part() else {
            return false;
        };
        let eighth = self.layers / 8;
        ["attn_v", "ffn_down"].contains(&part)
            && (layer < eighth || layer >= 7 * self.layers / 8 || (layer - eighth) % 3 == 2)
    }
}

impl Quantization {
    /// All, with the words a user may write.
    pub const ALL: [(&'static str, Self); 6] = [
        ("F32", Self::F32),
        ("F16", Self::F16),
        ("Q8_0", Self::Q8_0),
        ("Q4_K_M", Self::Q4KM),
        ("Q4_0", Self::Q4_0),
        ("Q4_1", Self::Q4_1),
    ];

    /// How this matrix is stored.
    pub fn kind(self, matrix: Matrix<'_>) -> GgmlDType {
        let delicate = matrix.is_head() || matrix.name == "token_embd.weight";
        let asked = match self {
            Self::F32 => GgmlDType::F32,
            Self::F16 => GgmlDType::F16,
            Self::Q8_0 => GgmlDType::Q8_0,
            // The embedding is the head too, or as delicate: 4 bits are too few for it.
            Self::Q4_0 | Self::Q4_1 if delicate => GgmlDType::Q8_0,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q4KM if matrix.is_head() || matrix.matters() => GgmlDType::Q6K,
            Self::Q4KM => GgmlDType::Q4K,
        };
        let fits = |kind: GgmlDType| matrix.columns.is_multiple_of(kind.block_size());
        let smaller = match asked {
            GgmlDType::Q6K => GgmlDType::Q8_0,
            GgmlDType::Q4K => GgmlDType::Q5_0,
            other => other,
        };
        // Rows that do not divide into blocks cannot be stored in them.
        [asked, smaller]
            .into_iter()
            .find(|kind| fits(*kind))
            .unwrap_or(GgmlDType::F16)
    }

    /// llama.cpp's `general.file_type`.
    pub fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q8_0 => 7,
            Self::Q4KM => 15,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixture_is_llama_cpps() {
        let kind = |name: &str, columns: usize| {
            Quantization::Q4KM.kind(Matrix {
                name,
                columns,
                layers: 32,
                tied: false,
            })
        };
        // As `llama-quantize` prints for a model of 32 layers.
        let more: Vec<usize> = (0..32)
            .filter(|layer| kind(&format!("blk.{layer}.attn_v.weight"), 4096) == GgmlDType::Q6K)
            .collect();
        assert_eq!(
            more,
            [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
        );
        assert_eq!(kind("blk.6.ffn_down.weight", 11008), GgmlDType::Q6K);
        assert_eq!(kind("blk.6.ffn_up.weight", 4096), GgmlDType::Q4K);
        assert_eq!(kind("token_embd.weight", 4096), GgmlDType::Q4K);
        assert_eq!(kind("output.weight", 4096), GgmlDType::Q6K);
        // SmolLM2-135M is 576 wide, which 256 does not divide.
        assert_eq!(kind("blk.6.ffn_up.weight", 576), GgmlDType::Q5_0);
        assert_eq!(kind("blk.6.attn_v.weight", 576), GgmlDType::Q8_0);
        assert_eq!(kind("output.weight", 576), GgmlDType::Q8_0);
        assert_eq!(kind("blk.6.ffn_up.weight", 100), GgmlDType::F16);
    }
}
