//! short_answer
