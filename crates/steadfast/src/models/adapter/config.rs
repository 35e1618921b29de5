//! `adapter_config.json`, read.

use super::{CONFIG_FILE, WHOLE, divisor};
use crate::{Error, Result};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::Path;

/// `adapter_config.json`, as far as it is read.
#[derive(Deserialize)]
pub(super) struct Config {
    peft_type: String,
    pub(super) r: usize,
    pub(super) lora_alpha: f64,
    #[serde(default)]
    pub(super) use_rslora: bool,
    #[serde(default)]
    pub(super) use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    bias: Option<String>,
    /// How A and B began: a flag, or the name of a way.
    #[serde(default)]
    init_lora_weights: Value,
    #[serde(default)]
    alora_invocation_tokens: Value,
    // In the file's order: the first that matches counts.
    #[serde(default)]
    rank_pattern: Map<String, Value>,
    #[serde(default)]
    alpha_pattern: Map<String, Value>,
}

/// Values that patterns give to modules.
pub(super) struct Patterns(Vec<(Regex, f64)>);

impl Patterns {
    /// peft's rule: a pattern stands for whole parts at the end of a module's path.
    fn new(field: &str, patterns: &Map<String, Value>) -> Result<Self> {
        let rule = |(pattern, value): (&String, &Value)| {
            let wrong = |message: String| {
                Error::user(message).field(field).hint(
                    "each entry is a pattern of module paths and a number, as PEFT writes them",
                )
            };
            let value = value
                .as_f64()
                .ok_or_else(|| wrong(format!("the value of `{pattern}` is no number")))?;
            let rule = Regex::new(&format!(r"^(.*\.)?({pattern})$"))
                .map_err(|cause| wrong(format!("`{pattern}` is no pattern")).because(cause))?;
            Ok((rule, value))
        };
        patterns.iter().map(rule).collect::<Result<_>>().map(Self)
    }

    fn of(&self, path: &str) -> Option<f64> {
        let (_, value) = self.0.iter().find(|(rule, _)| rule.is_match(path))?;
        Some(*value)
    }
}

/// What each module's B·A is multiplied with.
pub(super) struct Scales {
    rank: f64,
    alpha: f64,
    ranks: Patterns,
    alphas: Patterns,
    stabilized: bool,
}

impl Scales {
    /// α/r or α/√r, a pattern's own values where one names the module.
    pub(super) fn of(&self, path: &str) -> f64 {
        let rank = self.ranks.of(path).unwrap_or(self.rank).max(1.0);
        let alpha = self.alphas.of(path).unwrap_or(self.alpha);
        alpha / divisor(rank, self.stabilized)
    }
}

impl Config {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path).map_err(|cause| {
            Error::file("read", &path, cause).hint(
                "an adapter is a folder with adapter_config.json and adapter_model.safetensors",
            )
        })?;
        let config: Self = serde_json::from_str(&text).map_err(|cause| {
            Error::user("this is no PEFT LoRA config")
                .at(&path)
                .line(cause.line())
                .because(cause)
                .hint("it needs at least peft_type, r and lora_alpha")
        })?;
        config.check().map_err(|error| error.at(&path))?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let refuse = |field: &str, message: String| {
            Err(Error::user(message)
                .field(field)
                .hint("supported: LoRA, rsLoRA and DoRA, as PEFT writes them"))
        };
        if self.peft_type != "LORA" && self.peft_type != WHOLE {
            return refuse(
                "peft_type",
                format!("adapters of type `{}` are not supported", self.peft_type),
            );
        }
        if self.r == 0 {
            return refuse("r", "the rank is 0".into());
        }
        if let Some(bias) = self.bias.as_deref().filter(|bias| *bias != "none") {
            return refuse(
                "bias",
                format!("adapters with trained biases (`{bias}`) are not supported"),
            );
        }
        // peft takes what these began with off the base again as it loads.
        let altered = ["pissa", "olora", "corda", "loftq", "lora_ga"];
        if let Some(way) = self.init_lora_weights.as_str()
            && altered
                .iter()
                .any(|known| way.to_lowercase().starts_with(known))
        {
            return refuse(
                "init_lora_weights",
                format!(
                    "adapters on a base that `{way}` has altered are not supported: convert it with peft's save_pretrained(path_initial_model_for_weight_conversion=…)"
                ),
            );
        }
        if self
            .alora_invocation_tokens
            .as_array()
            .is_some_and(|tokens| !tokens.is_empty())
        {
            return refuse(
                "alora_invocation_tokens",
                "adapters that act only after some tokens are not supported".into(),
            );
        }
        if self.fan_in_fan_out {
            return refuse(
                "fan_in_fan_out",
                "transposed weights are not supported".into(),
            );
        }
        Ok(())
    }

    /// # Errors
    /// A user error where a pattern is none.
    pub(super) fn scales(&self) -> Result<Scales> {
        Ok(Scales {
            rank: self.r as f64,
            alpha: self.lora_alpha,
            ranks: Patterns::new("rank_pattern", &self.rank_pattern)?,
            alphas: Patterns::new("alpha_pattern", &self.alpha_pattern)?,
            stabilized: self.use_rslora,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_whole_parts_at_the_end_and_the_first_counts() {
        let patterns = r#"{"q_proj": 1, "^model.layers.1.mlp.up_proj": 2, "self_attn.[kv]_proj": 3,
            ".*mlp.down_proj": 4, "layers.0.mlp.down_proj": 5}"#;
        let patterns: Map<String, Value> = serde_json::from_str(patterns).unwrap();
        let patterns = Patterns::new("rank_pattern", &patterns).unwrap();
        let expected = [
            ("model.layers.0.self_attn.q_proj", Some(1.0)),
            ("model.layers.0.self_attn.my_q_proj", None),
            ("model.layers.1.mlp.up_proj", Some(2.0)),
            ("other.model.layers.1.mlp.up_proj", None),
            ("model.layers.11.mlp.up_proj", None),
            ("model.layers.9.self_attn.v_proj", Some(3.0)),
            ("model.layers.0.mlp.down_proj", Some(4.0)),
        ];
        for (path, value) in expected {
            assert_eq!(patterns.of(path), value, "{path}");
        }
        let wrong: Map<String, Value> = serde_json::from_str(r#"{"q_(proj": 1}"#).unwrap();
        assert!(Patterns::new("rank_pattern", &wrong).is_err());
    }

    #[test]
    fn what_gives_the_same_tensors_another_meaning_is_refused_by_name() {
        let with = |more: &str| {
            let text = format!(r#"{{"peft_type": "LORA", "r": 4, "lora_alpha": 8{more}}}"#);
            serde_json::from_str::<Config>(&text).unwrap().check()
        };
        for plain in [
            "",
            r#", "init_lora_weights": true"#,
            r#", "init_lora_weights": "gaussian""#,
        ] {
            assert!(with(plain).is_ok(), "{plain}");
        }
        for other in [
            r#", "init_lora_weights": "pissa_niter_16""#,
            r#", "init_lora_weights": "olora""#,
            r#", "alora_invocation_tokens": [1, 2]"#,
        ] {
            assert!(with(other).is_err(), "{other}");
        }
    }
}
