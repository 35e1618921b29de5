//! A hotel-booking simulator written for this project: training conversations and test items.
//!
//! A conversation walks a task graph. [`world`] draws a small availability table, [`customer`] draws
//! what the customer wants and how they behave, [`episode`] walks the graph and writes each turn in
//! one of the wordings of [`agent_phrases`] and [`customer_phrases`], and [`corpus`] turns episodes
//! into training conversations and test items.

mod agent_phrases;
mod corpus;
mod customer;
mod customer_phrases;
mod episode;
mod phrasing;
#[cfg(test)]
mod properties;
mod world;

pub use corpus::{development_items, test_items, training};
