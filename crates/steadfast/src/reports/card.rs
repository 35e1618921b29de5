//! The README.md beside an adapter, in the form of the Hub's model cards: what it is, what was learnt
//! and lost, and how to load it.

use crate::evaluation::Axis;
use crate::models::resolve::{hub_name, is_hub_id};
use crate::models::{Adapter, Multiple};
use crate::results::{Arm, Training};
use crate::runs::atomic;
use crate::settings::{ArmSettings, DataSettings, DataSource};
use crate::{Error, Result};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// What a card says.
#[derive(Debug)]
pub struct Card<'a> {
    /// What the user calls the base.
    pub base: &'a str,
    /// What was trained.
    pub arm: &'a ArmSettings,
    /// What the trained change was multiplied with.
    pub scale: Multiple,
    /// Of data order and initialisation.
    pub seed: u64,
    /// What was learnt from.
    pub data: &'a DataSettings,
    /// What it cost.
    pub training: &'a Training,
    /// What was measured before and after, if anything was.
    pub measured: Option<&'a Arm>,
}

impl Card<'_> {
    /// Writes `README.md` into the adapter's folder, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, adapter: &Path) -> Result<()> {
        let rank = Adapter::rank_in(adapter)?;
        atomic::write(&adapter.join("README.md"), self.text(rank)?.as_bytes())
    }

    fn text(&self, rank: usize) -> Result<String> {
        let mut text = self.front_matter();
        let method = self.arm.method.name();
        let _ = writeln!(text, "\n# {} by `{method}`\n", self.base);
        let _ = writeln!(
            text,
            "A change of {} trained by steadfast {} with the method `{method}`.\n",
            self.base,
            env!("CARGO_PKG_VERSION"),
        );
        if !self.scale.is_whole() {
            let _ = writeln!(
                text,
                "It is {} of the change that was trained.\n",
                self.scale.words()
            );
        }
        text += &self.changes();
        text += &self.loading(rank);
        text += &self.made()?;
        Ok(text)
    }

    /// What the Hub sorts models by. A string of JSON is one of YAML too.
    fn front_matter(&self) -> String {
        let mut lines = Vec::new();
        // The Hub refuses a card whose base is a folder or a file of this machine.
        let base = Some(hub_name(self.base)).filter(|name| is_hub_id(name));
        if let Some(base) = base {
            lines.push(format!("base_model: {}", json!(base)));
        }
        lines.push("pipeline_tag: text-generation".to_owned());
        if self.loads_in_peft() {
            lines.push("library_name: peft".to_owned());
        }
        lines.push("tags:".to_owned());
        lines.push("- steadfast".to_owned());
        if self.loads_in_peft() {
            lines.push("- lora".to_owned());
        }
        if let Some(base) = base {
            lines.push(format!("- base_model:adapter:{base}"));
        }
        format!("---\n{}\n---\n", lines.join("\n"))
    }

    /// PEFT has no kind of adapter for changes of whole weights.
    fn loads_in_peft(&self) -> bool {
        !self.arm.method.moves_whole_weights()
    }

    fn changes(&self) -> String {
        let mut text = "## Before and after\n\n".to_owned();
        let Some(measured) = self.measured else {
            text += "Not measured. `steadfast measure --adapter .` does, and `steadfast compare` says what changed.\n\n";
            return text;
        };
        text += "| axis | before | after | net change | 95% interval | p | items |\n";
        text += "| --- | --- | --- | --- | --- | --- | --- |\n";
        for axis in Axis::ALL {
            let Some(change) = measured.axes.get(axis.name()) else {
                continue;
            };
            let _ = writeln!(
                text,
                "| {} (`{}` of {}) | {:.1} | {:.1} | {:+.1} | {:+.1} … {:+.1} | {} | {} |",
                axis.name(),
                change.metric,
                change.suite,
                change.before,
                change.after,
                change.net_change,
                change.ci95[0],
                change.ci95[1],
                change.probability(),
                change.n,
            );
        }
        let drift = measured.drift.kl_per_token;
        let drift = drift.map_or("not known".to_owned(), |drift| {
            format!("{drift:.4} nats a token")
        });
        let _ = writeln!(
            text,
            "\nPoints, paired by item. Drift, the mean KL divergence (base ‖ tuned) on the base's own replies, is {drift}. \
             One seed's numbers: another seed gives others.\n",
        );
        text
    }

    fn loading(&self, rank: usize) -> String {
        let base = json!(hub_name(self.base));
        let mut text = "## How to load it\n\n".to_owned();
        if self.loads_in_peft() {
            let _ = write!(
                text,
                "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n\
                 model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({base}), \".\")\n```\n\n\
                 ```console\n$ vllm serve {0} --enable-lora --max-lora-rank {1} --lora-modules tuned=.\n```\n\n",
                hub_name(self.base),
                served_rank(rank),
            );
        } else {
            text += "PEFT has no adapters of whole weights: put it into the base first.\n\n";
        }
        if hub_name(self.base) != self.base {
            text += "It was trained over the base's Q4_1 file, which is what steadfast loads: over the Hub's own weights it answers a little differently.\n\n";
        }
        text += "```console\n\
                 $ steadfast chat --adapter . \"I need a room for two nights\"\n\
                 $ steadfast serve --adapter tuned=.\n\
                 $ steadfast export . --merge MODEL        # a folder for transformers and vLLM; or --gguf FILE, --ollama DIR\n\
                 ```\n\n";
        text
    }

    fn made(&self) -> Result<String> {
        let settings = serde_json::to_string_pretty(&self.arm.hyperparameters)
            .map_err(|cause| Error::bug("hyperparameters have no JSON form").because(cause))?;
        Ok(format!(
            "## How it was made\n\n\
             {} tokens in {} steps from {}, seed {}; method `{}` with\n\n```json\n{settings}\n```\n",
            self.training.tokens,
            self.training.steps,
            data(self.data),
            self.seed,
            self.arm.method.name(),
        ))
    }
}

/// The least of the ranks that vLLM can be told which holds the adapter's.
fn served_rank(rank: usize) -> usize {
    [8, 16, 32, 64, 128, 256, 320, 512]
        .into_iter()
        .find(|offered| *offered >= rank)
        .unwrap_or(rank)
}

/// The files by name: where they lie on somebody's disk is nobody's business.
fn data(settings: &DataSettings) -> String {
    match &settings.source {
        DataSource::Simulator { conversations } => {
            format!("{conversations} conversations of steadfast's booking simulator")
        }
        DataSource::Files(paths) => {
            let names: Vec<String> = paths
                .iter()
                .map(|path| {
                    let name = path.file_name().unwrap_or(path.as_os_str());
                    format!("`{}`", name.to_string_lossy())
                })
                .collect();
            names.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::sample;
    use crate::settings::{Overrides, recipe};

    #[test]
    fn a_card_says_what_was_learnt_and_lost_and_how_to_load_it() {
        let results = sample::results(1, 0);
        let settings = recipe::read(None, &Overrides::default()).expect("the shipped recipe");
        let card = |measured| Card {
            base: "org/base",
            arm: &settings.arms[0],
            scale: Multiple::WHOLE,
            seed: 0,
            data: &settings.data,
            training: &results.arms[0].training,
            measured,
        };
        insta::assert_snapshot!(card(Some(&results.arms[0])).text(16).unwrap());
        let bare = card(None).text(48).unwrap();
        assert!(bare.contains("Not measured.") && bare.contains("--max-lora-rank 64"));
    }
}
