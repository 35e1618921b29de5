//! A model that several processes ask together, each about its share.

use super::subject::{Ask, Likelihood, Prompt, Subject};
use crate::group::Group;
use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Processes that hold the same model. Each answers some of the questions, all hear every answer.
pub struct SharedSubject<'a> {
    /// The model as this process has it.
    pub subject: &'a dyn Subject,
    /// Everybody.
    pub group: &'a dyn Group,
}

impl SharedSubject<'_> {
    fn all<T: Serialize + DeserializeOwned>(&self, mine: Vec<T>) -> Result<Vec<T>> {
        if self.group.alone() {
            return Ok(mine);
        }
        let unreadable =
            |cause: serde_json::Error| Error::bug("an answer has no JSON form").because(cause);
        let mine = serde_json::to_vec(&mine).map_err(unreadable)?;
        let mut answers = Vec::new();
        for one in self.group.gather(&mine)? {
            answers.extend(serde_json::from_slice::<Vec<T>>(&one).map_err(unreadable)?);
        }
        Ok(answers)
    }
}

impl Subject for SharedSubject<'_> {
    fn replies(
        &self,
        prompts: &[Prompt],
        max_tokens: usize,
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<String>> {
        let share = self.group.share(prompts.iter().map(|_| 1));
        let mine = self.subject.replies(&prompts[share], max_tokens, on_done)?;
        self.all(mine)
    }

    fn likelihoods(
        &self,
        asks: &[Ask],
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Likelihood>>> {
        let share = self.group.share(asks.iter().map(length));
        let mine = self.subject.likelihoods(&asks[share], on_done)?;
        self.all(mine)
    }
}

/// Characters to be read, near enough.
fn length(ask: &Ask) -> usize {
    let prompt = match &ask.prompt {
        Prompt::Chat(messages) => messages.iter().map(|message| message.content.len()).sum(),
        Prompt::Text(text) => text.len(),
    };
    let continuations = ask.continuations.iter().map(String::len);
    prompt + continuations.sum::<usize>()
}
