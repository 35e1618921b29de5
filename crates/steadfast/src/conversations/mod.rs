//! Chat data in, tokens and a loss mask out.
//!
//! [`chat`] reads JSON Lines and [`summary`] counts them; [`template`] renders a conversation as its model expects; [`tokens`]
//! marks the tokens that carry loss; [`packing`] lays whole conversations end to end;
//! [`dialogues`] reads the public hotel corpora; [`simulator`] writes conversations of our own.

pub mod chat;
pub mod dialogues;
pub mod packing;
pub mod simulator;
pub mod summary;
pub mod template;
pub mod tokens;

pub use chat::{Conversation, Message, Role};
