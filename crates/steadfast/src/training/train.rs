//! The loop: batches in, a moved method out.
