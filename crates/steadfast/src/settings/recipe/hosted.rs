//! The part of a recipe that says what is trained elsewhere.

use super::{check_exists, suggest};
use crate::providers::connection::Key;
use crate::providers::{Name, together};
use crate::settings::hosted::{HostedArm, HostedHyperparameters, HostedMethod};
use crate::settings::judge::JudgeModel;
use crate::settings::study::StudySettings;
use crate::settings::table::{Bounds, Section};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// OpenAI's longest suffix.
const SUFFIX: usize = 64;
/// Together's suffix has our tag behind a `-`: 12 digits.
const TAG: usize = 13;
/// What only one of the services knows.
const OWN: [(&str, Name); 6] = [
    ("learning_rate_multiplier", Name::OpenAi),
    ("learning_rate", Name::Together),
    ("method", Name::Together),
    ("rank", Name::Together),
    ("alpha", Name::Together),
    ("warmup", Name::Together),
];
/// What only arms on this machine know.
const LOCAL: [&str; 18] = [
    "steps",
    "targets",
    "rank_stabilized",
    "batch_tokens",
    "gradient_accumulation",
    "weight_decay",
    "clip",
    "validate_every",
    "early_stopping",
    "penalty",
    "anchor",
    "anchor_share",
    "anchor_weight",
    "anchor_tokens",
    "rho",
    "subspace",
    "scales",
    "role",
];

/// What the request for a job has from elsewhere: by some of it the job is found again, by some of it its
/// price is worked out.
const SET: [&str; 13] = [
    "model",
    "training_file",
    "metadata",
    "suffix",
    "seed",
    "random_seed",
    "n_epochs",
    "batch_size",
    "learning_rate",
    "hyperparameters",
    "method",
    "training_type",
    "training_method",
];
/// Keys of other services, which a run folder would hold.
const KEYS: [&str; 3] = ["wandb_api_key", "wandb_key", "hf_api_token"];

/// An arm of `provider`; all but its name, which is `name`.
pub(super) fn arm(section: &Section<'_, '_>, provider: Name, name: String) -> HostedArm {
    let who = provider.name();
    let base = section.text("base");
    if !section.has("base") {
        section.mistake(
            "base",
            format!("the arm at {who} has no base"),
            match provider {
                Name::OpenAi => "name a model that is tuned there, such as: base = \"gpt-4.1-nano-2025-04-14\"",
                Name::Together => "name a model that is tuned there, such as: base = \"meta-llama/Meta-Llama-3.1-8B-Instruct-Reference\"",
            },
        );
    }
    for (key, owner) in OWN {
        if section.has(key) && owner != provider {
            let other = OWN.iter().find(|(own, owner)| {
                *owner == provider
                    && own.starts_with("learning_rate")
                    && key.starts_with("learning_rate")
            });
            section.mistake(
                key,
                format!("`{key}` has no effect at {who}"),
                other.map_or_else(
                    || "remove it: the service decides that itself".to_owned(),
                    |(own, _)| format!("write `{own}`, which {who} has in its place"),
                ),
            );
        }
    }
    for key in LOCAL {
        if section.has(key) {
            section.mistake(
                key,
                format!("`{key}` has no effect at {who}: it is for arms trained on this machine"),
                "remove it, or the `provider`",
            );
        }
    }
    let arm = HostedArm {
        name,
        provider,
        base: base.unwrap_or_default(),
        hyperparameters: hyperparameters(section, provider),
        suffix: suffix(section, provider),
        extra: extra(section),
        base_url: section.text("base_url"),
        key_variable: key_variable(section),
        key_file: section.text("key_file").map(|path| {
            check_exists(section, "key_file", &path);
            PathBuf::from(path)
        }),
        price: section.number("price", Bounds::NotNegative),
        max_cost: section.number("max_cost", Bounds::NotNegative),
        concurrency: section.size("concurrency", 1).unwrap_or(8),
        timeout_seconds: section.count("timeout_seconds", 1).unwrap_or(90),
    };
    // Asked so that they are known here: what is wrong with them is said above.
    for key in LOCAL {
        section.known(key);
    }
    arm
}

fn hyperparameters(section: &Section<'_, '_>, provider: Name) -> HostedHyperparameters {
    let together = provider == Name::Together;
    let method = section
        .choice("method", &HostedMethod::NAMES)
        .and_then(|name| HostedMethod::named(&name))
        .unwrap_or(HostedMethod::Lora);
    let adapted = together && method == HostedMethod::Lora;
    if together && !adapted {
        for key in ["rank", "alpha"] {
            if section.has(key) {
                section.mistake(
                    key,
                    format!("`{key}` has no effect with method `full`, which moves whole weights"),
                    "remove it, or use method = \"lora\"",
                );
            }
        }
    }
    let rank = section.count("rank", 1).unwrap_or(16);
    let alpha = section.count("alpha", 1).unwrap_or(2 * rank);
    HostedHyperparameters {
        method,
        epochs: section.count("epochs", 1).unwrap_or(1),
        batch_size: section.count("batch_size", 1),
        learning_rate_multiplier: section.number("learning_rate_multiplier", Bounds::Positive),
        learning_rate: section
            .number("learning_rate", Bounds::Positive)
            .or(together.then_some(1e-4)),
        rank: adapted.then_some(rank),
        alpha: adapted.then_some(alpha),
        warmup: section.number("warmup", Bounds::Share),
    }
}

fn suffix(section: &Section<'_, '_>, provider: Name) -> Option<String> {
    let suffix = section.text("suffix")?;
    let most = match provider {
        Name::OpenAi => SUFFIX,
        Name::Together => together::SUFFIX - TAG,
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if suffix.is_empty() || suffix.len() > most || !suffix.chars().all(plain) {
        section.mistake(
            "suffix",
            format!(
                "`{suffix}` cannot be part of a model's name at {}",
                provider.name()
            ),
            format!("use 1 to {most} letters, digits, `-`, `_` and `.`"),
        );
    }
    Some(suffix)
}

fn extra(section: &Section<'_, '_>) -> Map<String, Value> {
    let extra = section.json("extra").unwrap_or_default();
    for key in extra.keys() {
        if SET.contains(&key.as_str()) {
            section.mistake(
                "extra",
                format!("`extra` sets `{key}`, which the job has from the rest of the recipe"),
                "remove it there",
            );
        }
        if KEYS.contains(&key.as_str()) {
            section.mistake(
                "extra",
                format!("`extra` holds `{key}`, and a recipe is no place for a key"),
                "remove it, and change the key if others have seen it",
            );
        }
    }
    extra
}

fn key_variable(section: &Section<'_, '_>) -> Option<String> {
    let variable = section.text("key_variable")?;
    if !Key::is_variable(&variable) {
        // What stands there may be the key itself, so it is not repeated.
        section.mistake(
            "key_variable",
            "the key is named by no variable's name".to_owned(),
            "give the name of an environment variable, such as OPENAI_API_KEY, never the key",
        );
    }
    Some(variable)
}

/// What cannot be had together with hosted arms, or with a judge.
pub(super) fn check(root: &Section<'_, '_>, settings: &StudySettings) {
    let model = |judge: &crate::settings::JudgeSettings| match &judge.model {
        JudgeModel::Endpoint(model) => Some(model.clone()),
        JudgeModel::Local(_) => None,
    };
    if let Some(judge) = settings.judge.as_ref().and_then(model)
        && let Some(arm) = settings
            .hosted
            .iter()
            .find(|arm| arm.provider == Name::OpenAi && arm.base == judge)
    {
        root.mistake(
            "judge",
            format!(
                "`{judge}` is the base of the arm `{}`, and cannot be its own judge",
                arm.name
            ),
            "name another model, a larger one at best",
        );
    }
    if settings.keep.is_some() && settings.judge.is_some() {
        root.mistake(
            "keep",
            "`keep` and `[judge]` are both set: kept arms hold no reply to judge".to_owned(),
            "remove one: `keep` for a study that goes on elsewhere, `[judge]` for replies that are graded",
        );
    }
    if settings.hosted.is_empty() {
        return;
    }
    for (key, set, why) in [
        (
            "keep",
            settings.keep.is_some(),
            "what a service trained and answered is not kept",
        ),
        (
            "finalists",
            settings.finalists.is_some(),
            "a hosted arm cannot be chosen as one",
        ),
        (
            "budget",
            !settings.budget.is_empty(),
            "a change that is elsewhere cannot be scaled",
        ),
    ] {
        if set {
            root.mistake(
                key,
                format!("`{key}` cannot stand beside an arm that is trained elsewhere: {why}"),
                "put the hosted arms into a recipe of their own",
            );
        }
    }
}

/// Where an arm is trained.
pub(super) enum Place {
    /// On this machine.
    Here,
    /// At a service.
    At(Name),
    /// At one that does not exist, which is reported.
    Nowhere,
}

/// Where an arm is trained.
pub(super) fn place(section: &Section<'_, '_>) -> Place {
    let known = [&["local"], &Name::NAMES[..]].concat();
    let word = section.text("provider");
    match word.as_deref() {
        None if section.has("provider") => Place::Nowhere,
        None | Some("local") => Place::Here,
        Some(word) => Name::named(word).map_or_else(
            || {
                section.mistake(
                    "provider",
                    format!("no provider is called `{word}`"),
                    format!(
                        "{}; for any server that speaks OpenAI's protocol write \"openai\" with a `base_url`",
                        suggest::hint(word, &known).trim_end_matches('?')
                    ),
                );
                Place::Nowhere
            },
            Place::At,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::recipe::{Overrides, parse};
    use std::path::Path;

    fn read(arms: &str) -> crate::Result<StudySettings> {
        let text = format!("name = \"x\"\n{arms}");
        parse(Path::new("r.toml"), &text, &Overrides::default())
    }

    fn mistakes(arms: &str) -> Vec<(String, String)> {
        let mut error = read(arms).expect_err("a mistake");
        let mut all = std::mem::take(&mut error.others);
        all.insert(0, error);
        all.into_iter()
            .map(|one| {
                assert!(one.hint.is_some() && one.place.line.is_some(), "{one:?}");
                (one.place.field.unwrap_or_default(), one.message)
            })
            .collect()
    }

    #[test]
    fn a_hosted_arm_is_read_beside_a_local_one() {
        let settings = read(
            "[[arms]]\nmethod = \"lora\"\n\n[[arms]]\nname = \"there\"\nprovider = \"openai\"\nbase = \"m\"\n\
             epochs = 2\nprice = 3\nmax_cost = 1.5\n[arms.extra]\nsteadfast = {method = \"lora\", steps = 4}\n\n\
             [[arms]]\nprovider = \"together\"\nbase = \"org/m\"\nrank = 8\nsuffix = \"hotel\"\n",
        )
        .unwrap();
        assert_eq!(settings.arms.len(), 1);
        let [there, together] = &settings.hosted[..] else {
            panic!("two hosted arms")
        };
        assert_eq!(
            (there.name.as_str(), there.hyperparameters.epochs),
            ("there", 2)
        );
        assert_eq!(there.extra["steadfast"]["steps"], 4);
        assert_eq!((there.price, there.max_cost), (Some(3.0), Some(1.5)));
        assert_eq!(together.name, "together");
        let own = &together.hyperparameters;
        assert_eq!(
            (own.rank, own.alpha, own.learning_rate),
            (Some(8), Some(16), Some(1e-4))
        );
        assert_eq!((together.method(), there.method()), ("lora", "supervised"));
        let written = serde_json::to_string(&settings).unwrap();
        assert!(
            !written.contains("max_cost") && !written.contains("concurrency"),
            "means are no identity"
        );
        let local = serde_json::to_string(&read("[[arms]]\nmethod = \"lora\"\n").unwrap()).unwrap();
        assert!(!local.contains("hosted"), "old runs keep their id");
    }

    #[test]
    fn the_shipped_recipe_for_a_server_of_ones_own_is_valid() {
        let text = include_str!("../../../../../recipes/hosted.toml");
        let settings = parse(Path::new("hosted.toml"), text, &Overrides::default()).unwrap();
        assert_eq!((settings.arms.len(), settings.hosted.len()), (2, 1));
    }

    #[test]
    fn what_a_service_does_not_know_is_refused() {
        let openai = mistakes(
            "[[arms]]\nprovider = \"openai\"\nlearning_rate = 0.1\nrank = 4\nsteps = 3\nkey_variable = \"sk-1\"\nsuffix = \"a b\"\n",
        );
        let fields: Vec<&str> = openai.iter().map(|(field, _)| field.as_str()).collect();
        let own = [
            "base",
            "learning_rate",
            "rank",
            "steps",
            "key_variable",
            "suffix",
        ];
        assert_eq!(fields, own.map(|name| format!("arms[0].{name}")));
        assert!(openai.iter().all(|(_, message)| !message.contains("sk-1")));
        let extra = mistakes(
            "[[arms]]\nprovider = \"together\"\nbase = \"m\"\nextra = {metadata = {a = 1}, wandb_api_key = \"sk-1\"}\n",
        );
        assert_eq!(extra.len(), 2);
        assert!(
            extra
                .iter()
                .all(|(field, message)| field == "arms[0].extra" && !message.contains("sk-1"))
        );
        let unknown = mistakes("[[arms]]\nprovider = \"opnai\"\nbase = \"m\"\n");
        assert_eq!(unknown.len(), 1);
        assert_eq!(unknown[0].0, "arms[0].provider");
        let arm = "[[arms]]\nprovider = \"openai\"\nbase = \"m\"\n";
        for (top, field) in [
            ("keep = \"k\"\n", "keep"),
            ("[budget]\nsafety = 1\n", "budget"),
        ] {
            // Keys of the document stand before its tables.
            let text = if field == "keep" {
                format!("{top}{arm}")
            } else {
                format!("{arm}{top}")
            };
            assert_eq!(mistakes(&text)[0].0, field);
        }
        let judged = mistakes(&format!("{arm}[judge]\nmodel = \"openai:m\"\n"));
        assert!(judged[0].1.contains("its own judge"));
        let kept =
            mistakes("keep = \"k\"\n[[arms]]\nmethod = \"lora\"\n[judge]\nmodel = \"openai:m\"\n");
        assert!(kept[0].1.contains("no reply to judge"));
    }
}
