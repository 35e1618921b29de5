//! A model that says what it was told to say, for the tests of the axes.

use super::Axis;
use super::items::{Item, Suite, Task};
use super::subject::{Ask, Likelihood, Prompt, Subject};
use crate::Result;
use std::cell::RefCell;

/// Replies as told; likelihoods as `judge` has them for each continuation of an ask.
pub struct Scripted<F> {
    replies: Vec<&'static str>,
    judge: F,
    /// Prompts that replies were asked for, and the limits asked with.
    pub asked: RefCell<Vec<(Prompt, usize)>>,
}

impl<F: Fn(&Ask, &str) -> Likelihood> Scripted<F> {
    /// One reply for each prompt that will be asked, in order.
    pub fn new(replies: &[&'static str], judge: F) -> Self {
        Self {
            replies: replies.to_vec(),
            judge,
            asked: RefCell::default(),
        }
    }
}

impl<F: Fn(&Ask, &str) -> Likelihood> Subject for Scripted<F> {
    fn replies(
        &self,
        prompts: &[Prompt],
        max_tokens: usize,
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<String>> {
        assert_eq!(prompts.len(), self.replies.len());
        let asked = prompts.iter().map(|prompt| (prompt.clone(), max_tokens));
        self.asked.borrow_mut().extend(asked);
        for done in 1..=prompts.len() {
            on_done(done);
        }
        Ok(texts(&self.replies))
    }

    fn likelihoods(
        &self,
        asks: &[Ask],
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Likelihood>>> {
        on_done(asks.len());
        let judged = |ask: &Ask| {
            let texts = ask.continuations.iter();
            texts.map(|text| (self.judge)(ask, text)).collect()
        };
        Ok(asks.iter().map(judged).collect())
    }
}

/// Owned copies.
pub fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A suite of independent items, numbered from 0.
pub fn suite(axis: Axis, tasks: Vec<Task>) -> Suite {
    let item = |(id, task): (usize, Task)| Item {
        id: id.to_string(),
        cluster: id.to_string(),
        group: None,
        task,
    };
    Suite {
        name: "s".into(),
        axis,
        items: tasks.into_iter().enumerate().map(item).collect(),
    }
}
