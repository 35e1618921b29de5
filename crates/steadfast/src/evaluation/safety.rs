//! Safety: constructive preference, refusal and over-refusal, coherence, domain leakage.
