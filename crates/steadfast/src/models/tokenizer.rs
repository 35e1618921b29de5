//! The tokenizer, from `tokenizer.json` or rebuilt from GGUF metadata.
use crate::Result;
use std::path::Path;

/// Text to tokens and back, with the ids that end a turn.
#[derive(Debug)]
pub struct Tokenizer {
    /// The Hugging Face tokenizer beneath.
    pub inner: tokenizers::Tokenizer,
    /// Beginning-of-sequence token, if the model has one.
    pub bos: Option<String>,
    /// End-of-sequence token.
    pub eos: Option<String>,
    /// Ids that end generation.
    pub stop: Vec<u32>,
}

impl Tokenizer {
    /// From a folder (`tokenizer.json`, `tokenizer_config.json`, `generation_config.json`) or a GGUF file.
    pub fn read(path: &Path) -> Result<Self> {
        let _ = path;
        todo!("models helper")
    }

    /// Tokens of `text`, special tokens in it recognised, none added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let _ = text;
        todo!("models helper")
    }

    /// Text of `tokens`, special tokens left out.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let _ = tokens;
        todo!("models helper")
    }
}
