//! The blocks once more, as tensor operations that run on any device: what trains on a GPU.
//!
//! The same mathematics as [`super::blocks`], which are slices and tiles for the CPU, and the same
//! explicit backward passes: no tape, a forward keeps just what its backward needs, nothing is
//! computed for frozen weights. Tests on the CPU hold the two to each other. Everything that candle's
//! CUDA backend refuses and its CPU backend takes (layouts of a product, say) is refused here on
//! both, so that these tests find it too.

pub mod attention;
pub mod change;
pub mod decoder;
mod fused;
pub mod gated;
pub mod head;
pub mod layer;
pub mod linear;
pub mod norm;
pub mod product;
pub mod rotary;

pub use decoder::AcceleratedDecoder;

#[cfg(test)]
pub(crate) mod tests;
