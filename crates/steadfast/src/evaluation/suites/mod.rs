//! Suites: items read from a file, or shipped with the library.
//!
//! [`forms`] tells a file's form by its fields, [`rows`] turns one row into an item, [`reading`]
//! does that for a file, [`counterspeech`] supplies constructive and agreeing replies where a source
//! has none, [`builtin`] holds what ships, and [`sampling`] divides and thins suites.

mod builtin;
mod counterspeech;
mod forms;
mod reading;
mod rows;
mod sampling;
#[cfg(test)]
pub(crate) mod shared_data;

pub use builtin::{
    MEASURED, RetainPrompt, booking_conversations, builtin, builtin_names, drift_prompts,
    retain_prompts,
};
pub use counterspeech::{CounterSpeech, agreeing_replies, constructive_replies};
pub use forms::Form;
pub use reading::{Inspection, inspect, read, read_beside};
pub use sampling::divide;
