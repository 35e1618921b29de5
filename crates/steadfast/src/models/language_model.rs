//! A whole chat model: network, tokenizer and template.

use super::{Decoder, ModelConfig, resolve::Located, tokenizer::Tokenizer};
use crate::Result;
use crate::conversations::template::ChatTemplate;
use candle_core::Device;

/// Network, tokenizer, template, and where they came from.
#[derive(Debug)]
pub struct LanguageModel {
    /// Where it came from.
    pub located: Located,
    /// Its shape.
    pub config: ModelConfig,
    /// The network.
    pub decoder: Decoder,
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// Conversation to text.
    pub template: ChatTemplate,
}

impl LanguageModel {
    /// Loads everything from a folder or GGUF file.
    pub fn load(located: &Located, device: &Device) -> Result<Self> {
        let _ = (located, device);
        todo!("models helper")
    }
}
