//! The same arm, trained elsewhere.
//!
//! A [`service`] is reached over a [`connection`], with [`requests`] that wait as the service asks
//! ([`retry`]). [`openai`] and [`together`] say the steps of a [`job`] in their own protocols;
//! [`training`] takes those steps in order and keeps a [`record`] of each, so that a kill at any instant
//! starts no second job. A [`chat`] asks a model by its name.

pub mod chat;
pub mod connection;
#[cfg(test)]
pub(crate) mod emulators;
pub mod job;
pub mod name;
pub mod openai;
pub mod purse;
pub mod record;
pub mod requests;
pub mod retry;
pub mod service;
pub mod together;
pub mod training;

pub use name::Name;
