//! Checkpoints: written atomically, read back bit for bit.
