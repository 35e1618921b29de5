//! Differentiable blocks: each has a forward and an explicit backward, and keeps just what its
//! backward needs.
//!
//! Activations are row-major f32 slices `[rows, width]`, one row a token, borrowed from a
//! [`buffers::Pool`] so that a training step reuses the pages of the step before. Large matrix
//! products are [`tiles`], small ones go through [`product`]; element-wise loops through [`lanes`], which gives them the widest
//! vector instructions the machine has.

pub mod activation;
pub mod attention;
pub mod buffers;
pub mod cache;
pub mod frozen;
pub mod gated;
pub mod head;
pub mod lanes;
pub mod layer;
pub mod linear;
pub mod norm;
pub mod product;
pub mod query_key;
pub mod rotary;
pub mod tiles;
