//! Chat templates, rendered byte for byte as transformers renders them.
use super::Message;
use crate::Result;

/// A compiled Jinja chat template with its special tokens.
#[derive(Debug)]
pub struct ChatTemplate;

impl ChatTemplate {
    /// Compiles `source`; `bos`/`eos` are the strings the template sees as `bos_token`/`eos_token`.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self> {
        let _ = (source, bos, eos);
        todo!("conversations helper")
    }

    /// Renders the messages, with the opening of an assistant turn appended when asked for.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let _ = (messages, add_generation_prompt);
        todo!("conversations helper")
    }
}
