//! One reply under way: its sampler, its text, and why it ends.

use super::json_object::JsonObject;
use super::text::{StopFinder, TextStream};
use crate::Result;
use crate::models::LanguageModel;
use crate::models::sampling::{LogProbabilities, likeliest, nucleus, sampled};
use crate::models::tokenizer::TokenBytes;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Tokens outside the grammar that are tried one by one before all are looked at.
const TRIES: usize = 12;

/// How a reply is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Writing {
    /// Most tokens; 0 only reads the prompt.
    pub max_tokens: usize,
    /// 0 is greedy.
    pub temperature: f64,
    /// Share of the probability that is sampled from.
    pub top_p: f64,
    /// Seed of the sampler.
    pub seed: u64,
    /// Texts that end the reply and are left out of it.
    pub stop: Vec<String>,
    /// Taken off the logit of a token for each time that it was written.
    pub frequency_penalty: f64,
    /// Taken off the logit of a token that was written.
    pub presence_penalty: f64,
    /// Added to logits.
    pub bias: Vec<(u32, f32)>,
    /// Tell log-probabilities, and those of so many of the likeliest tokens.
    pub scored: Option<usize>,
    /// Tell those of the prompt's tokens too.
    pub prompt_scored: bool,
    /// Write one JSON object.
    pub json_object: bool,
}

impl Default for Writing {
    fn default() -> Self {
        Self {
            max_tokens: 0,
            temperature: 1.0,
            top_p: 1.0,
            seed: 0,
            stop: Vec::new(),
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            bias: Vec::new(),
            scored: None,
            prompt_scored: false,
            json_object: false,
        }
    }
}

/// A token with its log-probability (nats, at temperature 1) and the likeliest ones in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The token.
    pub token: u32,
    /// ln p; none for a prompt's first token, which nothing predicts.
    pub log_probability: Option<f64>,
    /// The likeliest tokens, the likeliest first.
    pub top: Vec<(u32, f64)>,
}

impl Score {
    /// Of `token` in a row of logits.
    pub fn of(token: u32, logits: &[f32], count: usize) -> Self {
        let row = LogProbabilities::of(logits);
        Self {
            token,
            log_probability: Some(row.of_token(token)),
            top: row.top(count),
        }
    }
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The model ended it, or a stop string was found.
    Stop,
    /// It has as many tokens as were allowed, or fills the context.
    Length,
}

impl Reason {
    /// OpenAI's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// What one step adds to a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Text that is certain; empty in the middle of a character or of a possible stop string.
    pub text: String,
    /// Tokens written: one, or none where only the prompt was to be read.
    pub tokens: usize,
    /// The token's score, if asked for. The token that ends a turn has one too.
    pub score: Option<Score>,
    /// The token ended the model's turn: it is no part of the text.
    pub ends_turn: bool,
    /// Set with the last piece.
    pub reason: Option<Reason>,
}

/// One reply under way.
#[derive(Debug)]
pub struct Sequence {
    random: ChaCha8Rng,
    text: TextStream,
    stops: StopFinder,
    json: Option<JsonObject>,
    /// How often each token was written, where that matters.
    written: BTreeMap<u32, u32>,
    /// The newest token, which the cache has not read yet.
    pub last: u32,
    /// Tokens written.
    pub count: usize,
    /// Most tokens of this reply.
    limit: usize,
}

impl Sequence {
    /// Choice number `choice` of a request whose prompt leaves `room` tokens.
    pub fn new(writing: &Writing, choice: usize, room: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(writing.seed);
        random.set_stream(choice as u64);
        Self {
            random,
            text: TextStream::default(),
            stops: StopFinder::new(&writing.stop),
            json: writing.json_object.then(JsonObject::default),
            written: BTreeMap::new(),
            last: 0,
            count: 0,
            limit: writing.max_tokens.min(room),
        }
    }

    /// Takes the logits after all that was written so far, and writes one token.
    pub fn step(
        &mut self,
        writing: &Writing,
        logits: &[f32],
        model: &LanguageModel,
        bytes: &TokenBytes,
    ) -> Result<Piece> {
        let token = self.choose(writing, logits, bytes);
        let score = writing.scored.map(|count| Score::of(token, logits, count));
        self.last = token;
        self.count += 1;
        if writing.frequency_penalty != 0.0 || writing.presence_penalty != 0.0 {
            *self.written.entry(token).or_default() += 1;
        }
        let tokenizer = &model.tokenizer;
        let ends_turn = tokenizer.stop.contains(&token);
        let mut text = String::new();
        let mut reason = None;
        if ends_turn {
            reason = Some(Reason::Stop);
        } else {
            let piece = self.text.push(tokenizer, token)?;
            let passed = self.stops.push(&piece);
            text = passed.text;
            if let Some(json) = &mut self.json {
                json.push(bytes.of(token));
            }
            if passed.stopped {
                return Ok(Piece {
                    text,
                    tokens: 1,
                    score,
                    ends_turn,
                    reason: Some(Reason::Stop),
                });
            }
            if self.json.as_ref().is_some_and(JsonObject::done) {
                reason = Some(Reason::Stop);
            } else if self.count >= self.limit {
                reason = Some(Reason::Length);
            }
        }
        if reason.is_some() {
            let passed = self.stops.push(&self.text.finish(tokenizer)?);
            text += &passed.text;
            text += &self.stops.finish();
        }
        Ok(Piece {
            text,
            tokens: 1,
            score,
            ends_turn,
            reason,
        })
    }

    fn choose(&mut self, writing: &Writing, logits: &[f32], bytes: &TokenBytes) -> u32 {
        let shaped = self.json.is_some() || !writing.bias.is_empty() || !self.written.is_empty();
        if !shaped {
            return pick(writing, logits, &mut self.random);
        }
        let mut logits = logits.to_vec();
        for (token, bias) in &writing.bias {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
        for (token, count) in &self.written {
            let penalty = writing.frequency_penalty * f64::from(*count) + writing.presence_penalty;
            logits[*token as usize] -= penalty as f32;
        }
        let Some(json) = &self.json else {
            return pick(writing, &logits, &mut self.random);
        };
        // Drawing again without a refused token is drawing from what remains.
        for _ in 0..TRIES {
            let token = pick(writing, &logits, &mut self.random);
            if json.allows(bytes.of(token)) {
                return token;
            }
            logits[token as usize] = f32::NEG_INFINITY;
        }
        for (logit, token) in logits.iter_mut().zip(0..) {
            if !json.allows(bytes.of(token)) {
                *logit = f32::NEG_INFINITY;
            }
        }
        pick(writing, &logits, &mut self.random)
    }
}

fn pick(writing: &Writing, logits: &[f32], random: &mut ChaCha8Rng) -> u32 {
    if writing.temperature == 0.0 {
        likeliest(logits)
    } else if writing.top_p >= 1.0 {
        sampled(logits, writing.temperature, random)
    } else {
        nucleus(logits, writing.temperature, writing.top_p, random)
    }
}
