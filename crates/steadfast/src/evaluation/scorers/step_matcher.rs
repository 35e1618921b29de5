//! step_matcher
