//! Recipe and flags into typed, validated settings. All mistakes are reported at once.
//!
//! [`study`], [`tune`] and [`measure`] are what the pipeline takes, [`serve`] what the server does;
//! [`recipe`] reads a study from TOML; [`judge`] says who grades replies; [`arm`] holds what one
//! training run is made of, [`hosted`] one that happens elsewhere; [`presets`] is the one table of counts.

pub mod arm;
pub mod device;
pub mod hosted;
pub mod judge;
pub mod measure;
pub mod presets;
pub mod recipe;
pub mod serve;
pub mod study;
pub mod suggest;
mod table;
pub mod tune;

pub use arm::{AnchorKind, AnchorSettings};
pub use arm::{
    ArmSettings, Hyperparameters, Length, MethodName, NullSpaceSettings, Role, Subspace, setting,
};
pub use device::TrainingDevice;
pub use hosted::HostedArm;
pub use judge::{JudgeFlags, JudgeModel, JudgeSettings};
pub use measure::{MeasureFlags, MeasureSettings};
pub use presets::Preset;
pub use recipe::{Overrides, shipped_suites};
pub use serve::{Limits, ServeFlags, ServeSettings};
pub use study::{
    DataSettings, DataSource, Extent, FinalistSettings, GenerationSettings, RetainSettings, Split,
    StudySettings, SuiteSettings,
};
pub use tune::{TuneFlags, TuneSettings};

use crate::Error;
use std::path::PathBuf;

/// A mistake for each file of conversations that a flag names and that is not there.
fn missing(flag: &str, paths: &[PathBuf]) -> impl Iterator<Item = Error> {
    paths.iter().filter(|path| !path.exists()).map(move |path| {
        Error::user(format!("there is no file `{}`", path.display()))
            .field(flag)
            .hint("give a JSON Lines file of conversations")
    })
}
