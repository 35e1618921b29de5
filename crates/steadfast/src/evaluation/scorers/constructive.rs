//! constructive
