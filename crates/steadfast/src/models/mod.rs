//! Weights in, forward, backward, text out.
//!
//! [`resolve`] finds a model, [`config`], [`weights`] and [`tokenizer`] read it, [`decoder`] is the
//! network built from [`blocks`], [`adapter`] the low-rank change on top of it, [`generate`] and
//! [`likelihood`] the two ways to ask it something ([`sampling`] chooses the tokens).

pub mod adapter;
pub mod blocks;
pub mod config;
pub mod decoder;
pub mod generate;
pub mod gguf;
pub mod language_model;
pub mod likelihood;
pub mod memory;
pub mod resolve;
pub mod sampling;
pub mod tokenizer;
pub mod weights;

pub use adapter::{Adapter, LowRank};
pub use config::ModelConfig;
pub use decoder::Decoder;
pub use language_model::LanguageModel;
