//! A judge behind any server that speaks OpenAI's chat protocol.
//!
//! Many questions are under way together on one thread; the answers under way come in before a failure
//! is told, for they are paid for.

use super::price::Price;
use super::{Answer, Judge, OnAnswer, Question};
use crate::providers::chat::{self, Chat};
use crate::providers::connection::Connection;
use crate::providers::purse::Purse;
use crate::providers::requests::{Requests, runtime};
use crate::providers::retry::Patience;
use crate::{Error, Result};
use reqwest::redirect::Policy;
use serde_json::json;
use std::cell::{Cell, RefCell};

/// Most bytes of a response: a verdict needs a thousandth of it.
const MOST_BYTES: usize = 1 << 20;

/// How messages call it.
pub const WHO: &str = "the judge";

const GIVEN_UP: &str = "every verdict so far is kept: the same command goes on from here. Check the network and \
     the base URL, or lower the judge's concurrency";

/// How an endpoint is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// The model's name there.
    pub model: String,
    /// Dollars for a million tokens, if known.
    pub price: Option<Price>,
    /// Most dollars of one run.
    pub max_cost: Option<f64>,
    /// Questions under way together.
    pub concurrency: usize,
    /// Most tokens of an answer.
    pub answer_tokens: u64,
    /// How often, and after what waits, a question is asked again.
    pub patience: Patience,
    /// Of the jitter.
    pub seed: u64,
}

/// A judge behind a server.
#[derive(Debug)]
pub struct Endpoint {
    asking: Asking,
    connection: Connection,
    name: String,
    purse: RefCell<Purse>,
}

impl Endpoint {
    /// A judge behind a connection.
    ///
    /// # Errors
    /// When a spending cap is asked for and no price is known.
    pub fn new(asking: Asking, connection: Connection) -> Result<Self> {
        if asking.max_cost.is_some() && asking.price.is_none() {
            return Err(Error::user(format!(
                "no price is known for `{}` at {}, so its cost cannot be capped",
                asking.model,
                connection.base()
            ))
            .field("--max-cost")
            .hint("add --judge-price IN,OUT, dollars for a million tokens (0,0 where nothing is charged)"));
        }
        Ok(Self {
            name: format!("openai:{}", asking.model),
            purse: RefCell::new(Purse::new(WHO, asking.max_cost)),
            connection,
            asking,
        })
    }

    /// Dollars spent so far.
    pub fn spent(&self) -> f64 {
        self.purse.borrow().spent()
    }

    async fn ask(
        &self,
        chat: &Chat<'_>,
        requests: &Requests<'_>,
        question: &Question,
    ) -> Result<Option<Answer>> {
        let asking = &self.asking;
        let messages = json!([
            {"role": "system", "content": question.system},
            {"role": "user", "content": question.prompt},
        ]);
        // The first sample is the likeliest answer; further ones are drawn.
        let temperature = if question.sample == 0 { 0.0 } else { 1.0 };
        let most = asking
            .price
            .map_or(0.0, |price| price.most(question, asking.answer_tokens));
        let attempt = async || chat.ask(&messages, asking.answer_tokens, temperature).await;
        let cost = |said: &chat::Said| match (asking.price, said.input, said.output) {
            (Some(price), Some(input), Some(output)) => Some(price.of(input, output)),
            _ => None,
        };
        let answered = requests.until_paid(most, attempt, cost).await?;
        Ok(answered.map(|(said, cost)| Answer {
            text: said.text,
            input_tokens: said.input.unwrap_or(0),
            output_tokens: said.output.unwrap_or(0),
            cost,
        }))
    }
}

impl Judge for Endpoint {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> String {
        format!(
            "{} at {}, {} tokens",
            self.name,
            self.connection.url(chat::PATH),
            self.asking.answer_tokens
        )
    }

    fn estimate(&self, question: &Question) -> Option<f64> {
        self.asking.price.map(|price| price.likely(question))
    }

    fn answer(&self, questions: &[Question], on_answer: &mut OnAnswer<'_>) -> Result<()> {
        let asking = &self.asking;
        let client = self.connection.client(Policy::default())?;
        let requests = Requests::new(&self.connection, asking.patience, asking.seed, GIVEN_UP)
            .paid_from(&self.purse);
        let dialect = Cell::default();
        let chat = Chat {
            client: &client,
            connection: &self.connection,
            model: &asking.model,
            dialect: &dialect,
            most_bytes: MOST_BYTES,
        };
        let ask = async |index: usize| self.ask(&chat, &requests, &questions[index]).await;
        runtime(WHO)?.block_on(requests.all(questions.len(), asking.concurrency, ask, on_answer))
    }
}

#[cfg(test)]
mod tests;
