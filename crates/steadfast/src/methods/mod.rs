//! What is allowed to move, and how. A method never changes the training loop.
//!
//! One file a method: [`lora`] moves A and B; [`null_space`] moves where the old behaviour does not
//! look, with [`moments`] as its instrument and [`subspace`] as its linear algebra.

pub mod lora;
pub mod method;
pub mod moments;
pub mod null_space;
pub mod subspace;

pub use method::{Method, Parameters, Penalty};
use method::{parameter, replace, weight};
