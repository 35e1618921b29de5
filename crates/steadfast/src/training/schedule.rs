//! Learning rate: linear warm-up, then cosine decay.
