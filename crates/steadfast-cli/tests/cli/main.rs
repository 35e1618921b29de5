//! The built command from outside: exit code, stdout and stderr together.

mod help;
mod judge;
mod kept;
mod memory;
mod mistakes;
mod plan;
mod serve;
mod support;
