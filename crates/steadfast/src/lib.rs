//! steadfast fine-tunes a chat model on one domain and measures what it learnt and what it lost.
//!
//! The data flows in one direction, and the modules are listed in that order:
//! [`settings`] (what the user asked for) → [`conversations`] (text to tokens and a loss mask) →
//! [`models`] (weights in, forward and backward, weights out) → [`methods`] (what may move) →
//! [`training`] (the loop), or [`providers`] (the same arm, trained elsewhere) → [`evaluation`] (three axes, before and after) → [`runs`] (one folder
//! on disk, with its [`results`]) → [`reports`] (figures and pages). [`study`] strings them together; [`server`] lets other
//! programs ask the result.
//!
//! The library prints nothing (but a last line before it ends the process of a hostile template,
//! [`conversations::template::say_with`]) and knows no command line: it emits typed [`events`] and returns
//! typed [`error`]s.

mod axis;
pub mod conversations;
pub mod digest;
pub mod error;
pub mod evaluation;
pub mod events;
pub mod group;
pub mod methods;
pub mod models;
pub mod providers;
pub mod reports;
pub mod results;
pub mod runs;
pub mod server;
pub mod settings;
pub mod study;
pub mod training;
#[cfg(any(test, fuzzing))]
pub mod untrusted;
pub mod usage;

pub use error::{Error, Result};
