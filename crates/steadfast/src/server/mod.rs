//! The OpenAI-compatible server: one model, its adapters, many clients.
//!
//! [`engine`] owns the model in a thread of its own and lets all requests take a step together;
//! [`sequence`] is one reply under way, [`text`] turns its tokens into text and finds where to stop,
//! [`json_object`] keeps it within JSON's grammar. [`connections`] accepts, [`http`] routes and guards ([`keys`]), [`fields`]
//! and [`asking`] read requests, [`chat`], [`completions`] and [`models`] answer them in the form of [`replies`],
//! [`refusal`] is every answer that is no success, [`metrics`] counts, and [`rate`]
//! says who has asked too often.
//!
//! [`files`] takes up conversations and [`fine_tuning`] trains on them: a job is a [`jobs`] record that
//! [`trainer`] works off beside the engine, on the same weights; all of it lies in one [`state`]
//! folder and survives a kill. [`page`] is what a person sees of it.
//!
//! No part of a request reaches the file system: models, adapters, files and jobs are
//! looked up by name among those that are known.

pub mod asking;
pub mod chat;
pub mod completions;
mod connections;
pub mod engine;
pub mod fields;
pub mod files;
pub mod fine_tuning;
pub mod http;
pub mod jobs;
pub mod json_object;
pub mod keys;
pub mod metrics;
pub mod models;
pub mod page;
pub mod rate;
pub mod refusal;
pub mod replies;
pub mod sequence;
pub mod state;
pub mod text;
pub mod trainer;

pub use http::{Ready, Stop, serve};
