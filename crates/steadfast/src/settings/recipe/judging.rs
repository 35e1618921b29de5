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
