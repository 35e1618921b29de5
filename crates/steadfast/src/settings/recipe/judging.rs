//! The part of a recipe that says who grades replies.

use super::{check_exists, set};
use crate::evaluation::judge::price::Price;
use crate::settings::judge::{JudgeModel, JudgeSettings};
use crate::settings::table::{Bounds, Section};
use std::path::PathBuf;

/// `[judge]`, if there is one.
pub(super) fn judge(root: &Section<'_, '_>) -> Option<JudgeSettings> {
    let section = root.section("judge")?;
    let model = match section.text("model") {
        Some(spec) => match JudgeModel::parse(&spec, "model") {
            Ok(model) => model,
            Err(mistake) => {
                section.mistake("model", mistake.message, mistake.hint.unwrap_or_default());
                JudgeModel::Local(spec)
            }
        },
        None => {
            if !section.has("model") {
                section.mistake(
                    "model",
                    "the judge has no model".to_owned(),
                    "write model = \"openai:gpt-4o-mini\", or a folder, a GGUF file or a Hub id",
                );
            }
            JudgeModel::Local(String::new())
        }
    };
    let mut settings = JudgeSettings::of(model);
    settings.base_url = section.text("base_url");
    set(&mut settings.key_variable, section.text("key_variable"));
    if let Some(samples) = section.count("samples", 1) {
        if samples % 2 == 0 {
            section.mistake(
                "samples",
                format!("{samples} answers to a question may have no majority"),
                "give 1, 3 or 5",
            );
        }
        settings.samples = u32::try_from(samples).unwrap_or(u32::MAX);
    }
    set(&mut settings.concurrency, section.size("concurrency", 1));
    settings.max_cost = section.number("max_cost", Bounds::Positive);
    let prices = section.numbers("price", Bounds::NotNegative);
    match prices.as_deref() {
        Some([input, output]) => {
            settings.price = Some(Price {
                input: *input,
                output: *output,
            });
        }
        Some(_) => section.mistake(
            "price",
            "a price has two numbers".to_owned(),
            "dollars for a million tokens in and out, such as: price = [0.15, 0.60]",
        ),
        None => {}
    }
    if let Some(folder) = section.text("rubrics") {
        check_exists(&section, "rubrics", &folder);
        settings.rubrics = Some(PathBuf::from(folder));
    }
    settings.cache = section.text("cache").map(PathBuf::from);
    set(
        &mut settings.answer_tokens,
        section.count("answer_tokens", 16),
    );
    set(
        &mut settings.timeout_seconds,
        section.count("timeout_seconds", 1),
    );
    section.finish();
    Some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::recipe::{Overrides, parse};
    use std::path::Path;

    fn read(judge: &str) -> crate::settings::StudySettings {
        let text = format!("name = \"x\"\n[[arms]]\nmethod = \"lora\"\n{judge}");
        parse(Path::new("r.toml"), &text, &Overrides::default()).expect("a good recipe")
    }

    #[test]
    fn a_judge_is_part_of_what_a_run_is_but_its_means_are_not() {
        let none = read("");
        assert_eq!(none.judge, None);
        let written = |settings: &crate::settings::StudySettings| {
            serde_json::to_string(settings).expect("settings have a JSON form")
        };
        assert!(!written(&none).contains("judge"), "old runs keep their id");
        let one = read("[judge]\nmodel = \"openai:m\"\n");
        assert_ne!(written(&none), written(&one));
        let judge = "[judge]\nmodel = \"openai:m\"\nmax_cost = 2\nprice = [0.15, 0.6]\nconcurrency = 2\n\
             key_variable = \"K\"\ncache = \"c.sqlite\"\ntimeout_seconds = 5\n";
        let other = read(judge);
        assert_eq!(written(&one), written(&other));
        let judge = other.judge.expect("a judge");
        assert_eq!(judge.model, JudgeModel::Endpoint("m".into()));
        assert_eq!((judge.max_cost, judge.concurrency), (Some(2.0), 2));
        assert_eq!(judge.price.map(|price| price.output), Some(0.6));
        assert_eq!(judge.key_variable, "K");
        assert_eq!(
            read("[judge]\nmodel = \"m.gguf\"\nsamples = 3\n")
                .judge
                .map(|judge| judge.samples),
            Some(3)
        );
    }
}
