//! The thread that owns the model: all requests take a step together (continuous batching).
//!
//! Each turn of its loop reads at most [`CHUNK`] rows of waiting prompts and then writes one token of
//! every reply under way, so a long prompt holds nobody up and a new request need not wait for the
//! replies before it. Replies are grouped by adapter, a pass a group; within a group they share the
//! products. A request whose client has gone is dropped before the next pass.

use super::metrics::Metrics;
use super::refusal::Refusal;
use super::sequence::{Piece, Reason, Score, Sequence, Writing};
use crate::models::blocks::buffers::Floats;
use crate::models::decoder::Cache;
use crate::models::sampling::next_logits;
use crate::models::tokenizer::TokenBytes;
use crate::models::{Adapter, LanguageModel};
use crate::{Error, Result};
use candle_core::Tensor;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Prompt rows read in one pass.
const CHUNK: usize = 512;
/// Prompt rows whose logits exist at once.
const SCORED_ROWS: usize = 64;
/// Tokens that a cache has room for before it grows.
const FIRST_ROOM: usize = 64;

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Replies written together.
    pub batch: usize,
    /// Requests in the house, waiting ones included.
    pub places: usize,
    /// Bytes of keys and values that the replies under way may come to.
    pub cache_bytes: usize,
    /// How long a request may take.
    pub timeout: Duration,
}

/// One prompt to go on from.
#[derive(Debug)]
pub struct Work {
    /// Which adapter: 0 is the base.
    pub group: usize,
    /// At least one token, and at most the context.
    pub prompt: Vec<u32>,
    /// Numbers of the replies to write, at most as many as the batch.
    pub choices: Range<usize>,
    /// How to write them.
    pub writing: Writing,
    /// Who hears of it; when nobody does any more, the work is dropped.
    pub listener: UnboundedSender<Progress>,
    /// When it is given up.
    pub deadline: Instant,
    /// Its place in the house, given back when it is done.
    pub place: OwnedSemaphorePermit,
}

/// What happens to a piece of work.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The prompt is read; its tokens' scores if asked for.
    Read {
        /// Its choices.
        choices: Range<usize>,
        /// A score a token of the prompt.
        scores: Vec<Score>,
    },
    /// A token was written.
    Wrote {
        /// Whose.
        choice: usize,
        /// What it adds.
        piece: Piece,
    },
    /// It ended without success.
    Failed(Refusal),
}

/// Tokens that a reply to a prompt of `length` may have. The last one is never read, so a reply may end one
/// past the context.
fn room_after(context: usize, length: usize) -> usize {
    (context + 1).saturating_sub(length)
}

/// What the thread is told.
enum Message {
    Work(Box<Work>),
    Adapter(Box<Adapter>),
}

/// The engine, as its users see it.
#[derive(Clone, Debug)]
pub struct Engine {
    sender: Sender<Message>,
    places: Arc<Semaphore>,
    /// Tokens that all caches may hold together, and one may.
    room: usize,
    context: usize,
    /// What it does at once.
    pub options: EngineOptions,
}

impl Engine {
    /// Starts the thread. It ends when the last of its users is gone.
    pub fn start(
        model: Arc<LanguageModel>,
        adapters: Vec<Adapter>,
        bytes: Arc<TokenBytes>,
        options: EngineOptions,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let (sender, receiver) = channel();
        let groups = std::iter::once(None)
            .chain(adapters.into_iter().map(Some))
            .map(Group::new)
            .collect();
        let token_bytes = model.decoder.cache_bytes_per_token();
        let context = model.decoder.context();
        let room = (options.cache_bytes / token_bytes).max(context + 1);
        let floor = Floor {
            model,
            bytes,
            options,
            metrics,
            receiver,
            waiting: VecDeque::new(),
            groups,
            room,
            turn: 0,
        };
        std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || floor.run())
            .map_err(|cause| Error::outside("cannot start a thread").because(cause))?;
        Ok(Self {
            sender,
            places: Arc::new(Semaphore::new(options.places)),
            room,
            context,
            options,
        })
    }

    /// Places for `count` pieces of work, if there are as many.
    pub fn places(&self, count: usize) -> Option<Vec<OwnedSemaphorePermit>> {
        let count = u32::try_from(count).ok()?;
        let mut all = Arc::clone(&self.places)
            .try_acquire_many_owned(count)
            .ok()?;
        let mut places: Vec<_> = (1..count).filter_map(|_| all.split(1)).collect();
        places.push(all);
        Some(places)
    }

    /// Whether so many replies to a prompt of so many tokens can ever be held at once. A single one can.
    pub fn holds(&self, prompt: usize, max_tokens: usize, replies: usize) -> bool {
        let own = prompt + max_tokens.min(room_after(self.context, prompt));
        replies <= 1 || own.saturating_mul(replies) <= self.room
    }

    /// Hands work in. False when the engine is gone.
    pub fn submit(&self, work: Work) -> bool {
        self.sender.send(Message::Work(Box::new(work))).is_ok()
    }

    /// Adds a group for one more adapter, with the next number.
    pub fn add(&self, adapter: Adapter) {
        // Without its thread nothing is answered any more, by this adapter or by others.
        let _ = self.sender.send(Message::Adapter(Box::new(adapter)));
    }
}

/// What the replies of one request share.
#[derive(Debug)]
struct Request {
    writing: Writing,
    listener: UnboundedSender<Progress>,
    deadline: Instant,
    /// Tokens that each of its replies may come to, the prompt's included.
    tokens: usize,
    _place: OwnedSemaphorePermit,
}

/// A prompt that is being read.
struct Reading {
    request: Arc<Request>,
    prompt: Vec<u32>,
    choices: Range<usize>,
    cache: Cache,
    scores: Vec<Score>,
}

/// A reply that is being written.
struct Reply {
    request: Arc<Request>,
    choice: usize,
    sequence: Sequence,
}

/// All work for one adapter.
struct Group {
    adapter: Option<Adapter>,
    reading: VecDeque<Reading>,
    writing: Vec<Reply>,
    /// Of each reply.
    caches: Vec<Cache>,
}

impl Group {
    fn new(adapter: Option<Adapter>) -> Self {
        Self {
            adapter,
            reading: VecDeque::new(),
            writing: Vec::new(),
            caches: Vec::new(),
        }
    }

    fn is_idle(&self) -> bool {
        self.reading.is_empty() && self.writing.is_empty()
    }
}

impl Request {
    /// Whether it is no longer wanted; who still listens hears of the deadline.
    fn is_over(&self, now: Instant, timeout: Duration) -> bool {
        if self.listener.is_closed() {
            return true;
        }
        if now < self.deadline {
            return false;
        }
        let refusal = Refusal::timeout(timeout.as_secs());
        // A client that leaves in this very moment needs no answer.
        let _ = self.listener.send(Progress::Failed(refusal));
        true
    }
}

/// Where the work is done.
struct Floor {
    model: Arc<LanguageModel>,
    bytes: Arc<TokenBytes>,
    options: EngineOptions,
    metrics: Arc<Metrics>,
    receiver: Receiver<Message>,
    waiting: VecDeque<Work>,
    groups: Vec<Group>,
    /// Tokens that all caches together may come to.
    room: usize,
    /// The group whose prompts are read next.
    turn: usize,
}

impl Floor {
    fn run(mut self) {
        while self.take_in().is_ok() {
            self.drop_what_is_over();
            self.admit();
            self.count();
            let turn = self.turn;
            let next = (0..self.groups.len())
                .map(|offset| (turn + offset) % self.groups.len())
                .find(|index| !self.groups[*index].reading.is_empty());
            if let Some(index) = next {
                self.turn = index + 1;
                self.pass(index, Self::read);
            }
            for index in 0..self.groups.len() {
                if !self.groups[index].writing.is_empty() {
                    self.pass(index, Self::write);
                }
            }
            self.count();
        }
    }

    /// Takes new work; waits for it when there is nothing else to do.
    fn take_in(&mut self) -> std::result::Result<(), RecvError> {
        if self.waiting.is_empty() && self.groups.iter().all(Group::is_idle) {
            let message = self.receiver.recv()?;
            self.hear(message);
        }
        while let Ok(message) = self.receiver.try_recv() {
            self.hear(message);
        }
        Ok(())
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Work(work) => self.waiting.push_back(*work),
            Message::Adapter(adapter) => self.groups.push(Group::new(Some(*adapter))),
        }
    }

    fn drop_what_is_over(&mut self) {
        let (now, timeout) = (Instant::now(), self.options.timeout);
        let mut gone = 0;
        self.waiting.retain(|work| {
            if work.listener.is_closed() {
                gone += 1;
                return false;
            }
            if now >= work.deadline {
                let refusal = Refusal::timeout(timeout.as_secs());
                // As above: who has just gone needs no answer.
                let _ = work.listener.send(Progress::Failed(refusal));
                return false;
            }
            true
        });
        for group in &mut self.groups {
            let before = group.reading.len() + group.writing.len();
            group
                .reading
                .retain(|reading| !reading.request.is_over(now, timeout));
            for index in (0..group.writing.len()).rev() {
                if group.writing[index].request.is_over(now, timeout) {
                    group.writing.swap_remove(index);
                    group.caches.swap_remove(index);
                }
            }
            gone += before - group.reading.len() - group.writing.len();
        }
        self.metrics.abandoned.add(gone);
    }

    /// (replies, tokens of cache) that the work under way may come to.
    fn taken(&self) -> (usize, usize) {
        let mut taken = (0, 0);
        for group in &self.groups {
            for reading in &group.reading {
                taken.0 += reading.choices.len();
                taken.1 += reading.choices.len() * reading.request.tokens;
            }
            taken.0 += group.writing.len();
            let tokens = group.writing.iter().map(|reply| reply.request.tokens);
            taken.1 += tokens.sum::<usize>();
        }
        taken
    }

    /// Begins with waiting work, in its order, while there is room.
    fn admit(&mut self) {
        let (mut replies, mut tokens) = self.taken();
        while let Some(work) = self.waiting.front() {
            let limit = work
                .writing
                .max_tokens
                .min(self.room_after(work.prompt.len()));
            let own = work.prompt.len() + limit;
            let fits = replies + work.choices.len() <= self.options.batch
                && tokens + own * work.choices.len() <= self.room;
            // What is larger than all the room there is goes alone.
            if !fits && replies > 0 {
                return;
            }
            let Some(work) = self.waiting.pop_front() else {
                return;
            };
            replies += work.choices.len();
            tokens += own * work.choices.len();
            let first_room = work.prompt.len() + limit.min(FIRST_ROOM);
            self.groups[work.group].reading.push_back(Reading {
                cache: self.model.decoder.cache(first_room),
                request: Arc::new(Request {
                    writing: work.writing,
                    listener: work.listener,
                    deadline: work.deadline,
                    tokens: own,
                    _place: work.place,
                }),
                prompt: work.prompt,
                choices: work.choices,
                scores: Vec::new(),
            });
        }
    }

    fn room_after(&self, length: usize) -> usize {
        room_after(self.model.decoder.context(), length)
    }

    fn count(&self) {
        self.metrics.active.set(self.taken().0);
        self.metrics.waiting.set(self.waiting.len());
    }

    /// One pass of a group. If it fails, all that took part are told, and the rest goes on.
    fn pass(&mut self, index: usize, work: fn(&Self, &mut Group) -> Result<()>) {
        let mut group = std::mem::replace(&mut self.groups[index], Group::new(None));
        self.metrics.passes.add(1);
        if let Err(error) = work(self, &mut group) {
            let refusal = Refusal::from(error);
            let reading = group.reading.drain(..).map(|reading| reading.request);
            let writing = group.writing.drain(..).map(|reply| reply.request);
            for request in reading.chain(writing) {
                // Who has gone needs no answer.
                let _ = request.listener.send(Progress::Failed(refusal.clone()));
            }
            group.caches.clear();
        }
        self.groups[index] = group;
    }

    /// Reads the next rows of prompts, and writes the first token of those that are read.
    fn read(&self, group: &mut Group) -> Result<()> {
        let decoder = &self.model.decoder;
        let mut taken: Vec<Reading> = Vec::new();
        let mut caches: Vec<Cache> = Vec::new();
        let (mut tokens, mut lengths) = (Vec::new(), Vec::new());
        while let Some(mut reading) = group.reading.pop_front() {
            let read = reading.cache.length();
            let length = (reading.prompt.len() - read).min(CHUNK - tokens.len());
            tokens.extend_from_slice(&reading.prompt[read..read + length]);
            lengths.push(length);
            caches.push(std::mem::replace(&mut reading.cache, decoder.cache(0)));
            taken.push(reading);
            if tokens.len() == CHUNK {
                break;
            }
        }
        // Who is lost with an error here sees the channel close.
        let hidden = decoder.extend(&tokens, &lengths, &mut caches, group.adapter.as_ref())?;
        self.metrics.prompt_tokens.add(tokens.len());
        let (mut whole, mut last_rows) = (Vec::new(), Vec::new());
        let mut end = 0;
        for ((mut reading, cache), length) in taken.into_iter().zip(caches).zip(lengths) {
            let rows = hidden.narrow(0, end, length)?;
            end += length;
            reading.cache = cache;
            if reading.request.writing.prompt_scored {
                self.score(&mut reading, &rows)?;
            }
            if reading.cache.length() < reading.prompt.len() {
                // Only the last one taken can be cut: it stays the first in turn.
                group.reading.push_front(reading);
            } else if reading.request.writing.max_tokens == 0 {
                tell_read(&mut reading);
                for choice in reading.choices.clone() {
                    let nothing = Piece {
                        text: String::new(),
                        tokens: 0,
                        score: None,
                        ends_turn: false,
                        reason: Some(Reason::Length),
                    };
                    tell(&reading.request, choice, nothing);
                }
            } else {
                last_rows.push(end as u32 - 1);
                whole.push(reading);
            }
        }
        if whole.is_empty() {
            return Ok(());
        }
        let last_rows = Tensor::new(last_rows, hidden.device())?;
        let logits = decoder.logits(&hidden.index_select(&last_rows, 0)?)?;
        let logits = Floats::of(&logits)?;
        let vocabulary = logits.len() / whole.len();
        for (reading, logits) in whole.into_iter().zip(logits.chunks_exact(vocabulary)) {
            self.begin(group, reading, logits)?;
        }
        Ok(())
    }

    /// Scores of the prompt's tokens that `rows`, the newest in its cache, predict.
    fn score(&self, reading: &mut Reading, rows: &Tensor) -> Result<()> {
        let count = reading.request.writing.scored.unwrap_or(0);
        if reading.scores.is_empty() {
            reading.scores.push(Score {
                token: reading.prompt[0],
                log_probability: None,
                top: Vec::new(),
            });
        }
        let predicted = &reading.prompt[reading.scores.len()..];
        let predicted = &predicted[..predicted.len().min(rows.dim(0)?)];
        for (index, tokens) in predicted.chunks(SCORED_ROWS).enumerate() {
            let rows = rows.narrow(0, index * SCORED_ROWS, tokens.len())?;
            let logits = self.model.decoder.logits(&rows.force_contiguous()?)?;
            let logits = Floats::of(&logits)?;
            let vocabulary = logits.len() / tokens.len();
            let rows = logits.par_chunks_exact(vocabulary).zip(tokens);
            let scores = rows.map(|(logits, token)| Score::of(*token, logits, count));
            reading.scores.par_extend(scores);
        }
        Ok(())
    }

    /// Writes the first token of each choice after a prompt that is read.
    fn begin(&self, group: &mut Group, mut reading: Reading, logits: &[f32]) -> Result<()> {
        tell_read(&mut reading);
        let request = &reading.request;
        let room = self.room_after(reading.prompt.len());
        for choice in reading.choices.clone() {
            let mut sequence = Sequence::new(&request.writing, choice, room);
            let piece = sequence.step(&request.writing, logits, &self.model, &self.bytes)?;
            self.metrics.completion_tokens.add(1);
            let ended = piece.reason.is_some();
            if tell(request, choice, piece) && !ended {
                group.caches.push(reading.cache.clone());
                group.writing.push(Reply {
                    request: Arc::clone(request),
                    choice,
                    sequence,
                });
            }
        }
        Ok(())
    }

    /// Writes one token of every reply of the group.
    fn write(&self, group: &mut Group) -> Result<()> {
        let tokens: Vec<u32> = group
            .writing
            .iter()
            .map(|reply| reply.sequence.last)
            .collect();
        let ones = vec![1; tokens.len()];
        let adapter = group.adapter.as_ref();
        let logits = next_logits(
            &self.model.decoder,
            adapter,
            &tokens,
            &ones,
            &mut group.caches,
        )?;
        let logits = Floats::of(&logits)?;
        let vocabulary = logits.len() / tokens.len();
        let (model, bytes) = (&self.model, &self.bytes);
        let pieces: Vec<Result<Piece>> = group
            .writing
            .par_iter_mut()
            .zip(logits.par_chunks_exact(vocabulary))
            .map(|(reply, logits)| {
                let writing = &reply.request.writing;
                reply.sequence.step(writing, logits, model, bytes)
            })
            .collect();
        self.metrics.completion_tokens.add(tokens.len());
        for (index, piece) in pieces.into_iter().enumerate().rev() {
            let piece = piece?;
            let reply = &group.writing[index];
            let ended = piece.reason.is_some();
            if !tell(&reply.request, reply.choice, piece) || ended {
                group.writing.swap_remove(index);
                group.caches.swap_remove(index);
            }
        }
        Ok(())
    }
}

/// Tells what a reply gained. False when nobody listens.
fn tell(request: &Request, choice: usize, piece: Piece) -> bool {
    let progress = Progress::Wrote { choice, piece };
    request.listener.send(progress).is_ok()
}

fn tell_read(reading: &mut Reading) {
    let progress = Progress::Read {
        choices: reading.choices.clone(),
        scores: std::mem::take(&mut reading.scores),
    };
    // Who has gone is noticed before the next pass.
    let _ = reading.request.listener.send(progress);
}
