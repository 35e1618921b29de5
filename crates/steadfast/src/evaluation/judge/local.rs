//! A model on this machine as a judge. It costs nothing, and small ones are worth little: ask
//! `judge check` first.

use super::{Answer, Judge, OnAnswer, Question};
use crate::Result;
use crate::conversations::{Message, Role, tokens};
use crate::models::LanguageModel;
use crate::models::generate::{GenerateOptions, generate};
use crate::models::resolve::Located;
use candle_core::Device;

/// Questions read together. Few, so that answers are kept often.
const BATCH: usize = 8;

/// A model on this machine.
#[derive(Debug)]
pub struct LocalJudge {
    model: LanguageModel,
    answer_tokens: usize,
}

impl LocalJudge {
    /// Loads a model.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn load(located: &Located, answer_tokens: usize) -> Result<Self> {
        Ok(Self {
            model: LanguageModel::load(located, &Device::Cpu)?,
            answer_tokens,
        })
    }

    fn tokens(&self, question: &Question) -> Result<Vec<u32>> {
        let apart = [
            Message::new(Role::System, question.system.as_str()),
            Message::new(Role::User, question.prompt.as_str()),
        ];
        // Some templates know no system turn, and refuse it.
        tokens::prompt(&self.model, &apart).or_else(|_| {
            let joined = format!("{}\n\n{}", question.system, question.prompt);
            tokens::prompt(&self.model, &[Message::new(Role::User, joined)])
        })
    }
}

impl Judge for LocalJudge {
    fn name(&self) -> &str {
        &self.model.located.id
    }

    fn identity(&self) -> String {
        format!("local {}, {} tokens", self.model.told(), self.answer_tokens)
    }

    fn estimate(&self, _: &Question) -> Option<f64> {
        Some(0.0)
    }

    fn answer(&self, questions: &[Question], on_answer: &mut OnAnswer<'_>) -> Result<()> {
        // One stream of random numbers for each sample, so that samples of one question differ.
        let mut order: Vec<usize> = (0..questions.len()).collect();
        order.sort_by_key(|index| questions[*index].sample);
        let same = |one: &usize, other: &usize| questions[*one].sample == questions[*other].sample;
        let batches = order.chunk_by(same).flat_map(|group| group.chunks(BATCH));
        for batch in batches {
            let mut fitting = Vec::new();
            for &index in batch {
                let tokens = self.tokens(&questions[index])?;
                // What does not fit cannot be judged: no verdict, rather than one on half of it.
                if tokens.len() + self.answer_tokens > self.model.decoder.context() {
                    on_answer(index, Answer::default())?;
                } else {
                    fitting.push((index, tokens));
                }
            }
            let sample = batch.first().map_or(0, |index| questions[*index].sample);
            let options = GenerateOptions {
                max_tokens: self.answer_tokens,
                temperature: if sample == 0 { 0.0 } else { 1.0 },
                seed: u64::from(sample),
                batch: BATCH,
            };
            let (indices, prompts): (Vec<usize>, Vec<Vec<u32>>) = fitting.into_iter().unzip();
            let replies = generate(&self.model, None, &prompts, &options, &mut |_| {})?;
            for ((index, prompt), reply) in indices.into_iter().zip(&prompts).zip(replies) {
                let answer = Answer {
                    input_tokens: prompt.len() as u64,
                    output_tokens: reply.tokens.len() as u64,
                    text: reply.text,
                    cost: 0.0,
                };
                on_answer(index, answer)?;
            }
        }
        Ok(())
    }
}
