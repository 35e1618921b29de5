//! Servers of ours that speak the providers' protocols, for tests. `examples/emulate_providers.rs`
//! lets the official clients ask them too.

pub mod http;
mod jobs;
pub mod openai;
pub mod together;
