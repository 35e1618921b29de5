//! Second moments E[x·xᵀ] of the inputs of each linear layer.
