//! The built command from outside: exit code, stdout and stderr together.

#[allow(dead_code, reason = "each user of it looks at another part")]
#[path = "../../../steadfast/src/providers/emulators/mod.rs"]
mod emulators;
mod frontier;
mod help;
mod hosted;
mod judge;
mod kept;
mod memory;
mod mistakes;
mod plan;
mod push;
mod runs;
mod serve;
mod support;
mod tracking;
mod tune;
mod tutorial;
