//! What is allowed to move, and how. A method never changes the training loop.
//!
//! [`lora`] and its kin move A and B; [`null_space`] holds them by what they move on
//! retained inputs, with [`moments`] as its instrument and [`subspace`] as its linear algebra; [`spectrum`] holds the
//! comparators that go by the singular values of the base's weights. All of them are [`low_rank`]
//! changes and differ in where the two factors begin and may go; [`full`] moves whole weights in the
//! same form.

pub mod full;
pub mod lora;
pub mod low_rank;
pub mod method;
pub mod moments;
pub mod null_space;
pub mod spectrum;
pub mod subspace;

pub use method::{Method, Parameters, Penalty};
use method::{parameter, replace};
