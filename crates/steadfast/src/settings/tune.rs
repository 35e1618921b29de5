//! What one arm trained by itself is made of.

use super::arm::{
    ArmSettings, Hyperparameters, Length, MOST_EPOCHS, MOST_RANK, MOST_STEPS, MethodName, Subspace,
};
use super::device::TrainingDevice;
use super::presets::Preset;
use super::study::{DataSettings, DataSource, RetainSettings};
use super::{missing, suggest};
use crate::models::Multiple;
use crate::{Error, Result};
use serde::Serialize;
use std::path::PathBuf;

/// One training run without measurements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TuneSettings {
    /// The base; `None` is the one that is always there.
    pub base: Option<String>,
    /// Training data.
    pub data: DataSettings,
    /// Method and hyperparameters.
    pub arm: ArmSettings,
    /// Of data order and initialisation.
    pub seed: u64,
    /// For `null-space`: the text whose behaviour should stay.
    pub retain: RetainSettings,
    /// The folder of the adapter and its checkpoints.
    pub output: PathBuf,
    /// Go on from the last checkpoint in `output`.
    pub resume: bool,
    /// Where training runs.
    pub device: TrainingDevice,
    /// Bytes of memory to keep within. Changes no bit of the result.
    #[serde(skip)]
    pub memory_limit: Option<u64>,
}

/// What the flags of `tune` say, unchecked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TuneFlags {
    /// `--base`
    pub base: Option<String>,
    /// `--data`, once or more.
    pub data: Vec<PathBuf>,
    /// `--retain`, as often as wanted.
    pub retain: Vec<PathBuf>,
    /// `--method`
    pub method: Option<String>,
    /// `--steps`
    pub steps: Option<usize>,
    /// `--epochs`
    pub epochs: Option<f64>,
    /// `--preset`
    pub preset: Option<String>,
    /// `--learning-rate`
    pub learning_rate: Option<f64>,
    /// `--subspace`
    pub subspace: Option<String>,
    /// `--penalty`
    pub penalty: Option<f64>,
    /// `--anchor-share`
    pub anchor_share: Option<f64>,
    /// `--rank`
    pub rank: Option<usize>,
    /// `--batch-tokens`
    pub batch_tokens: Option<usize>,
    /// `--early-stopping`
    pub early_stopping: Option<usize>,
    /// `--seed`
    pub seed: Option<u64>,
    /// `--output`
    pub output: Option<PathBuf>,
    /// `--resume`
    pub resume: bool,
    /// `--device`
    pub device: Option<String>,
    /// `--memory-limit`
    pub memory_limit: Option<String>,
}

impl TuneSettings {
    /// Checks the flags and fills in the defaults; all mistakes are reported at once.
    pub fn new(flags: TuneFlags) -> Result<Self> {
        let mut mistakes: Vec<Error> = Vec::new();
        mistakes.extend(missing("--data", &flags.data));
        mistakes.extend(missing("--retain", &flags.retain));
        let mut mistake = |field: &str, message: String, hint: String| {
            mistakes.push(Error::user(message).field(field).hint(hint));
        };
        let word = flags.method.as_deref().unwrap_or("lora");
        let known = MethodName::named(word);
        if known.is_none() {
            mistake(
                "--method",
                format!("no method is called `{word}`"),
                suggest::hint(word, &MethodName::NAMES),
            );
        }
        let method = known.unwrap_or(MethodName::Lora);
        let subspace = flags.subspace.as_deref().and_then(|word| {
            let subspace = Subspace::named(word);
            if subspace.is_none() {
                mistake(
                    "--subspace",
                    format!("no subspace is called `{word}`"),
                    suggest::hint(word, &Subspace::NAMES),
                );
            }
            subspace
        });
        let anchored = flags.anchor_share.is_some_and(|share| share > 0.0);
        let retains = method.retains() || anchored;
        // What a method that nobody knows would do with other flags is not known either.
        if known.is_some() && !retains {
            for (flag, given) in [
                ("--retain", !flags.retain.is_empty()),
                ("--preset", flags.preset.is_some()),
            ] {
                if given {
                    mistake(
                        flag,
                        format!("method `{}` retains nothing", method.name()),
                        "remove it, use --method null-space, or give an --anchor-share".to_owned(),
                    );
                }
            }
        }
        for (flag, given, knows) in [
            (
                "--subspace",
                flags.subspace.is_some(),
                method.has_subspace(),
            ),
            ("--penalty", flags.penalty.is_some(), method.has_penalty()),
        ] {
            if known.is_some() && given && !knows {
                mistake(
                    flag,
                    format!("`{flag}` has no effect with method `{}`", method.name()),
                    "remove it, or use --method null-space".to_owned(),
                );
            }
        }
        // Where nothing is retained the preset is only part of what the training is known by: as it was.
        let otherwise = if retains {
            Preset::Standard
        } else {
            Preset::Quick
        };
        let preset = flags.preset.as_deref().map_or(otherwise, |word| {
            Preset::named(word).unwrap_or_else(|| {
                mistake(
                    "--preset",
                    format!("no preset is called `{word}`"),
                    suggest::hint(word, &Preset::NAMES),
                );
                otherwise
            })
        });
        if let Some(share) = flags
            .anchor_share
            .filter(|share| !(0.0..=1.0).contains(share))
        {
            mistake(
                "--anchor-share",
                format!("`--anchor-share` is {share}"),
                "give a number from 0 to 1".to_owned(),
            );
        }
        if let Some(penalty) = flags.penalty.filter(|it| !it.is_finite() || *it < 0.0) {
            mistake(
                "--penalty",
                format!("`--penalty` is {penalty}"),
                "give a number that is 0 or greater".to_owned(),
            );
        }
        if method.moves_whole_weights() {
            for (flag, given) in [
                ("--rank", flags.rank.is_some()),
                ("--memory-limit", flags.memory_limit.is_some()),
            ] {
                if given {
                    mistake(
                        flag,
                        format!(
                            "`{flag}` cannot be had with method `full`, which moves whole weights"
                        ),
                        "remove it, or use another method".to_owned(),
                    );
                }
            }
        }
        if method == MethodName::Osft && flags.memory_limit.is_some() {
            mistake(
                "--memory-limit",
                "`--memory-limit` does not count what method `osft` holds of each weight's spectrum"
                    .to_owned(),
                "remove it, or use another method".to_owned(),
            );
        }
        for (flag, value) in [
            ("--learning-rate", flags.learning_rate),
            ("--epochs", flags.epochs),
        ] {
            if let Some(value) = value.filter(|value| !value.is_finite() || *value <= 0.0) {
                let hint = "give a number greater than 0".to_owned();
                mistake(flag, format!("`{flag}` is {value}"), hint);
            }
        }
        for (flag, value, most) in [
            ("--steps", flags.steps, MOST_STEPS),
            ("--rank", flags.rank, MOST_RANK),
        ] {
            if let Some(value) = value.filter(|value| *value > most) {
                let hint = format!("give a whole number of at most {most}");
                mistake(flag, format!("`{flag}` is {value}"), hint);
            }
        }
        for (flag, value, least) in [
            ("--steps", flags.steps, 1),
            ("--rank", flags.rank, 1),
            ("--batch-tokens", flags.batch_tokens, 16),
            ("--early-stopping", flags.early_stopping, 1),
        ] {
            if let Some(value) = value.filter(|value| *value < least) {
                let hint = format!("give a whole number of at least {least}");
                mistake(flag, format!("`{flag}` is {value}"), hint);
            }
        }
        if let Some(epochs) = flags.epochs.filter(|epochs| *epochs > MOST_EPOCHS) {
            mistake(
                "--epochs",
                format!("`--epochs` is {epochs}"),
                format!("give a number of at most {MOST_EPOCHS}"),
            );
        }
        if flags.steps.is_some() && flags.epochs.is_some() {
            mistake(
                "--epochs",
                "`--steps` and `--epochs` are both given".to_owned(),
                "keep the one that should decide when training ends".to_owned(),
            );
        }
        let memory_limit = flags.memory_limit.as_deref().and_then(|text| {
            let found = bytes(text);
            if found.is_none() {
                mistake(
                    "--memory-limit",
                    format!("`{text}` is no size"),
                    "write a number and its unit, such as 900MB or 8GB".to_owned(),
                );
            }
            found
        });
        let written = flags.device.as_deref().unwrap_or("cpu");
        let device = TrainingDevice::parse(written).unwrap_or_else(|refusal| {
            mistake("--device", refusal.message, refusal.hint.to_owned());
            TrainingDevice::Cpu
        });
        if memory_limit.is_some() && !device.is_cpu() {
            mistake(
                "--memory-limit",
                "`--memory-limit` is for training on the CPU".to_owned(),
                "leave it out, or give fewer --batch-tokens to need less of the card".to_owned(),
            );
        }
        Error::all(mistakes)?;

        let length = match (flags.steps, flags.epochs) {
            (Some(steps), _) => Length::Steps(steps),
            (None, epochs) => Length::Epochs(epochs.unwrap_or(1.0)),
        };
        let mut hyperparameters = Hyperparameters::defaults(method, length);
        if let Some(rank) = flags.rank {
            hyperparameters.set_rank(rank);
        }
        if let Some(learning_rate) = flags.learning_rate {
            hyperparameters.learning_rate = learning_rate;
        }
        if let Some(batch_tokens) = flags.batch_tokens {
            hyperparameters.batch_tokens = batch_tokens;
        }
        if let Some(penalty) = flags.penalty {
            hyperparameters.penalty = penalty;
        }
        if let Some(share) = flags.anchor_share {
            hyperparameters.anchor.share = share;
        }
        if let Some((own, subspace)) = hyperparameters.null_space.as_mut().zip(subspace) {
            own.subspace = subspace;
        }
        hyperparameters.early_stopping = flags.early_stopping;
        Ok(Self {
            base: flags.base,
            data: DataSettings {
                source: DataSource::Files(flags.data),
                validation_share: DataSettings::VALIDATION_SHARE,
                limit: None,
            },
            arm: ArmSettings {
                name: method.name().to_owned(),
                provider: "local".to_owned(),
                method,
                hyperparameters,
                role: None,
                scales: vec![Multiple::WHOLE],
            },
            seed: flags.seed.unwrap_or(0),
            retain: RetainSettings {
                paths: flags.retain,
                ..RetainSettings::of(&preset.scale())
            },
            output: flags
                .output
                .unwrap_or_else(|| PathBuf::from(format!("adapters/{}", method.name()))),
            resume: flags.resume,
            device,
            memory_limit,
        })
    }
}

/// Bytes of a size as people write it: `900MB`, `8 GB`, `2GiB`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.trim().parse().ok()?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "mb" | "m" => 1e6,
        "gb" | "g" => 1e9,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        _ => return None,
    };
    (number.is_finite() && number > 0.0).then_some((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_how_firmly_it_holds_arrives_where_training_reads_it() {
        let data = vec![PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/Cargo.toml"
        ))];
        let plain = TuneSettings::new(TuneFlags {
            data: data.clone(),
            ..TuneFlags::default()
        })
        .expect("data alone is enough");
        let anchored = TuneSettings::new(TuneFlags {
            data: data.clone(),
            anchor_share: Some(0.1),
            ..TuneFlags::default()
        })
        .expect("any method can have an anchor");
        let prompts = |preset: Preset| preset.scale().retain_prompts;
        assert_eq!(plain.retain.prompts, prompts(Preset::Quick));
        assert_eq!(anchored.retain.prompts, prompts(Preset::Standard));
        let settings = TuneSettings::new(TuneFlags {
            data,
            method: Some("null-space".into()),
            penalty: Some(3.0),
            anchor_share: Some(0.3),
            subspace: Some("low-retain".into()),
            preset: Some("quick".into()),
            ..TuneFlags::default()
        })
        .expect("right flags");
        let hyperparameters = &settings.arm.hyperparameters;
        assert_eq!(
            (hyperparameters.penalty, hyperparameters.anchor.share),
            (3.0, 0.3)
        );
        let own = hyperparameters.null_space.as_ref().expect("it is its own");
        assert_eq!(own.subspace, Subspace::LowRetain);
        assert_eq!(settings.retain.prompts, prompts(Preset::Quick));
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(bytes("900MB"), Some(900_000_000));
        assert_eq!(bytes(" 1.5 gb "), Some(1_500_000_000));
        assert_eq!(bytes("2GiB"), Some(2_147_483_648));
        for wrong in ["", "8", "GB", "-1GB", "nanGB", "8TBX"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
