//! Servers of ours that speak the protocols of providers and of the Hub, for tests. `examples/emulate_providers.rs`
//! lets the official clients ask them too.

pub mod http;
pub mod hub;
mod jobs;
pub mod mlflow;
pub mod openai;
pub mod together;
