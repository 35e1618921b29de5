//! A whole chat model: network, tokenizer and template.

use super::gguf::GgufFile;
use super::memory::{Holding, Load};
use super::tokenizer::optional_json;
use super::{Adapter, Decoder, ModelConfig, resolve::Located, tokenizer::Tokenizer, weights};
use crate::conversations::template::ChatTemplate;
use crate::conversations::{Message, Role};
use crate::events::{Event, Listener};
use crate::{Error, Result};
use candle_core::Device;
use std::path::{Path, PathBuf};

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
    /// What decides what it reads and answers, for the keys of stored work.
    pub fn told(&self) -> String {
        format!("{}{}", self.located.identity, self.template.clock())
    }

    /// Loads everything from a folder or GGUF file.
    pub fn load(located: &Located, device: &Device) -> Result<Self> {
        Self::load_as(located, Holding::WHOLE, device)
    }

    /// Loads everything with an adapter that nobody else shares the base with, so that it may bring
    /// modules of its own; the adapter as passes take it.
    pub fn load_adapted(
        located: &Located,
        adapter: Option<Adapter>,
        device: &Device,
    ) -> Result<(Self, Option<Adapter>)> {
        let Some(mut adapter) = adapter else {
            return Ok((Self::load(located, device)?, None));
        };
        let model = Self::load_over(located, Holding::WHOLE, Some(&mut adapter), device)?;
        let adapter = adapter.bound_to(&model.decoder)?;
        Ok((model, Some(adapter)))
    }

    /// Loads everything so that training keeps within `limit` bytes, as far as can be said before.
    pub fn load_within(
        located: &Located,
        limit: Option<u64>,
        load: Load,
        device: &Device,
        listener: &dyn Listener,
    ) -> Result<Self> {
        let Some(limit) = limit else {
            return Self::load(located, device);
        };
        let config = ModelConfig::read(&located.path)?;
        let holding = Holding::within(limit, &config, weights::file_bytes(&located.path)?, load)?;
        if let Some(message) = holding.note(&config) {
            listener.on(Event::Note { message });
        }
        Self::load_as(located, holding, device)
    }

    /// Loads everything, held as `holding` says.
    pub fn load_as(located: &Located, holding: Holding, device: &Device) -> Result<Self> {
        Self::load_over(located, holding, None, device)
    }

    fn load_over(
        located: &Located,
        holding: Holding,
        adapter: Option<&mut Adapter>,
        device: &Device,
    ) -> Result<Self> {
        let mut config = ModelConfig::read(&located.path)?;
        let (tokenizer, template) = read_text(&located.path)?;
        let mut weights = weights::read(&located.path, holding.form, device)?;
        if let Some(adapter) = adapter {
            adapter.lay_over(&mut config, &mut weights)?;
        }
        let mut decoder = Decoder::new(&config, weights, device).map_err(|error| {
            if error.place.path.is_none() {
                error.at(&located.path)
            } else {
                error
            }
        })?;
        decoder.keep_layers(holding.kept_layers);
        Ok(Self {
            located: located.clone(),
            config,
            decoder,
            tokenizer,
            template,
        })
    }
}

/// Tokenizer and chat template of a model folder or GGUF file; the token that ends a turn of the
/// template is the first of those that stop a reply.
pub fn read_text(path: &Path) -> Result<(Tokenizer, ChatTemplate)> {
    let mut tokenizer = Tokenizer::read(path)?;
    let template = read_template(path, &tokenizer)?;
    let said = "Goodbye";
    let turns = [
        Message::new(Role::User, "Hello"),
        Message::new(Role::Assistant, said),
    ];
    // A template that refuses these two turns will say so when it is asked for others.
    if let Ok(text) = template.render(&turns, false)
        && let Some((_, after)) = text.rsplit_once(said)
    {
        tokenizer.end_turns_as(after)?;
    }
    Ok((tokenizer, template))
}

/// The file of a model folder, or beside a GGUF file, that holds the chat template.
pub const TEMPLATE_FILE: &str = "chat_template.jinja";

/// The chat template of a model folder or GGUF file.
fn read_template(path: &Path, tokenizer: &Tokenizer) -> Result<ChatTemplate> {
    let own = if path.is_dir() {
        template_of_settings(path)?
    } else {
        let file = GgufFile::open(path)?;
        file.has("tokenizer.chat_template")
            .then(|| file.text("tokenizer.chat_template").map(str::to_owned))
            .transpose()?
    };
    let source = match template_beside(path)? {
        Some(file) => std::fs::read_to_string(&file)
            .map(Some)
            .map_err(|cause| Error::file("read", &file, cause))?,
        None => own,
    };
    let source = source.ok_or_else(|| {
        let place = if path.is_dir() { "in the folder" } else { "beside it" };
        Error::user("the model has no chat template").at(path).hint(format!(
            "steadfast tunes chat models: choose an instruct version, or put a {TEMPLATE_FILE} {place}",
        ))
    })?;
    ChatTemplate::new(&source, tokenizer.bos.as_deref(), tokenizer.eos.as_deref())
        .map_err(|error| error.at(path))
}

/// [`TEMPLATE_FILE`] where it decides: in a model folder, whose settings it goes before; beside a GGUF
/// file only where that has no template of its own, since other models may share its folder.
pub fn template_beside(path: &Path) -> Result<Option<PathBuf>> {
    let is_folder = path.is_dir();
    let file = if is_folder {
        path.join(TEMPLATE_FILE)
    } else {
        path.with_file_name(TEMPLATE_FILE)
    };
    let decides =
        file.exists() && (is_folder || !GgufFile::open(path)?.has("tokenizer.chat_template"));
    Ok(decides.then_some(file))
}

fn template_of_settings(folder: &Path) -> Result<Option<String>> {
    let settings = optional_json(&folder.join("tokenizer_config.json"))?;
    Ok(match &settings["chat_template"] {
        serde_json::Value::String(source) => Some(source.clone()),
        // Older files hold several, by name.
        serde_json::Value::Array(named) => named
            .iter()
            .find(|entry| entry["name"] == "default")
            .or(named.first())
            .and_then(|entry| entry["template"].as_str())
            .map(str::to_owned),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
