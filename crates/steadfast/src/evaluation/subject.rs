//! The model under test, as the scorers see it: on this machine here, elsewhere in
//! [`hosted`](super::hosted).

use crate::conversations::{Message, tokens};
use crate::models::generate::{GenerateOptions, generate};
use crate::models::likelihood::{LikelihoodRequest, likelihoods};
use crate::models::{Adapter, LanguageModel};
use crate::{Error, Result};

pub use crate::models::likelihood::Likelihood;

/// A prompt: a conversation for a chat model, or plain text to be continued.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Rendered with the model's own template, the assistant's turn opened.
    Chat(Vec<Message>),
    /// Continued as it stands.
    Text(String),
}

impl Prompt {
    /// Its first words, for a message.
    fn beginning(&self) -> String {
        let text = match self {
            Self::Chat(messages) => messages.last().map_or("", |last| &last.content),
            Self::Text(text) => text,
        };
        let words: String = text.chars().take(80).collect();
        format!("\"{}…\"", words.trim())
    }
}

/// One prompt and the continuations whose likelihood is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// What stands before.
    pub prompt: Prompt,
    /// What may follow. For [`Prompt::Text`] a leading space is the caller's to give.
    pub continuations: Vec<String>,
}

/// A model that can be asked. Answers come in the order of the questions.
pub trait Subject {
    /// Greedy replies of at most `max_tokens` tokens. `on_done` hears how many are finished.
    fn replies(
        &self,
        prompts: &[Prompt],
        max_tokens: usize,
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<String>>;

    /// Likelihoods of the continuations; none for an ask where the subject does not tell them, and
    /// what they would score is then unscored.
    fn likelihoods(
        &self,
        asks: &[Ask],
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Likelihood>>>;
}

/// A model on this machine, with or without an adapter.
#[derive(Clone, Copy, Debug)]
pub struct LocalSubject<'a> {
    /// The base.
    pub model: &'a LanguageModel,
    /// What fine-tuning changed, if anything.
    pub adapter: Option<&'a Adapter>,
    /// Sequences decoded together.
    pub batch: usize,
}

impl LocalSubject<'_> {
    fn tokens(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        let tokens = match prompt {
            Prompt::Chat(messages) => tokens::prompt(self.model, messages)?,
            Prompt::Text(text) => self.model.tokenizer.encode_plain(text)?,
        };
        if tokens.is_empty() {
            return Err(Error::user("an item has an empty prompt")
                .hint("give it at least one character of context"));
        }
        self.within_context(prompt, tokens.len())?;
        Ok(tokens)
    }

    /// An item that is too long is found by its words: hundreds are measured together.
    fn within_context(&self, prompt: &Prompt, tokens: usize) -> Result<()> {
        let context = self.model.config.context;
        if tokens <= context {
            return Ok(());
        }
        Err(Error::user(format!(
            "an item has {tokens} tokens, more than the {context} that the model can read: {}",
            prompt.beginning()
        ))
        .hint("shorten it, or leave it out of the suite"))
    }

    /// Tokens of one continuation of a prompt that is `before` tokens long.
    ///
    /// A chat prompt ends in a template's own tokens, and the reply is tokenized by itself, as it is
    /// when the model writes it. Plain text is tokenized whole and cut where the prompt's own tokens
    /// end, as lm-evaluation-harness does, so that a word is not cut in two at the seam.
    fn continuation(&self, prompt: &Prompt, before: usize, text: &str) -> Result<Vec<u32>> {
        let tokenizer = &self.model.tokenizer;
        let tokens = match prompt {
            Prompt::Chat(_) => tokenizer.encode(text)?,
            Prompt::Text(start) => {
                let whole = tokenizer.encode_plain(&format!("{start}{text}"))?;
                whole.get(before..).unwrap_or_default().to_vec()
            }
        };
        if tokens.is_empty() {
            return Err(Error::user(format!(
                "an item has an empty continuation: {}",
                prompt.beginning()
            ))
            .hint("give each choice or reply at least one character"));
        }
        self.within_context(prompt, before + tokens.len())?;
        Ok(tokens)
    }
}

impl Subject for LocalSubject<'_> {
    fn replies(
        &self,
        prompts: &[Prompt],
        max_tokens: usize,
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<String>> {
        let prompts: Vec<Vec<u32>> = prompts
            .iter()
            .map(|prompt| self.tokens(prompt))
            .collect::<Result<_>>()?;
        let options = GenerateOptions {
            max_tokens,
            batch: self.batch,
            ..GenerateOptions::default()
        };
        let replies = generate(self.model, self.adapter, &prompts, &options, on_done)?;
        Ok(replies.into_iter().map(|reply| reply.text).collect())
    }

    fn likelihoods(
        &self,
        asks: &[Ask],
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Likelihood>>> {
        let mut requests = Vec::with_capacity(asks.len());
        for ask in asks {
            let prompt = self.tokens(&ask.prompt)?;
            let continuations = ask
                .continuations
                .iter()
                .map(|text| self.continuation(&ask.prompt, prompt.len(), text))
                .collect::<Result<_>>()?;
            requests.push(LikelihoodRequest {
                prompt,
                continuations,
            });
        }
        likelihoods(self.model, self.adapter, &requests, on_done)
    }
}
