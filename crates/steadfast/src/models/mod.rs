//! Weights in, forward, backward, text out.
//!
//! [`resolve`] finds a model, [`config`], [`weights`] and [`tokenizer`] read it, [`families`] names the
//! parts of all that are supported, [`decoder`] is the one
//! network built from [`blocks`], [`accelerated`] its training on another device, both behind
//! [`network`]; [`adapter`] is the low-rank change on top of it, [`multiple`] a part of that, [`generate`] and [`likelihood`] the
//! two ways to ask it something ([`sampling`] chooses the tokens), [`export`] writes it for other tools,
//! [`push`] takes a folder to the Hub.

pub mod accelerated;
pub mod adapter;
pub mod blocks;
pub mod config;
pub mod decoder;
pub mod export;
pub mod families;
pub mod generate;
pub mod gguf;
pub mod language_model;
pub mod likelihood;
pub mod memory;
pub mod multiple;
pub mod network;
pub mod push;
pub mod resolve;
pub mod sampling;
pub mod tokenizer;
pub mod weights;

pub use accelerated::AcceleratedDecoder;
pub use adapter::{Adapter, LowRank};
pub use config::ModelConfig;
pub use decoder::Decoder;
pub use language_model::LanguageModel;
pub use multiple::Multiple;
