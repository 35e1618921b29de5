//! One file a command: flags in, library called, answer out.

pub mod chat;
pub mod compare;
pub mod completions;
pub mod data;
pub mod data_check;
pub mod data_preview;
pub mod data_simulate;
pub mod doctor;
pub mod export;
pub mod frontier;
pub mod gate;
pub mod judge;
pub mod judge_check;
pub mod measure;
pub mod models;
pub mod plan;
pub mod push;
pub mod run;
pub mod runs;
pub mod runs_clean;
pub mod runs_compare;
pub mod runs_show;
pub mod serve;
pub mod study;
pub mod tune;

pub use run::run;
