//! Differentiable blocks: each has a forward and an explicit backward, and keeps just what its
//! backward needs.
