//! Results, figures, and the page a person looks at.

pub mod figures;
pub mod page;
pub mod results;
