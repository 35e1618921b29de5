//! Scorers turn a reply, or the model's own likelihoods, into a score, with no other model.

pub mod coherence;
pub mod constructive;
pub mod leakage;
pub mod learnt;
pub mod refusal;
pub mod short_answer;
pub mod step_matcher;
