//! `[[arms]]`: what moves, and how it trains.

use super::hosted::{self, Place};
use super::{Bounds, Section, check_name, scales, set, suggest};
use crate::settings::arm::{
    AnchorKind, ArmSettings, Hyperparameters, Length, MOST_ACCUMULATION, MOST_EPOCHS, MOST_RANK,
    MOST_STEPS, MethodName, NullSpaceSettings, PROJECTIONS, Role, Subspace, TARGET_GROUPS,
    projections,
};
use crate::settings::hosted::HostedArm;
use crate::settings::presets::Scale;
use std::collections::BTreeSet;

/// The arms that are trained on this machine, and those that are trained elsewhere.
pub(super) fn read(root: &Section<'_, '_>, scale: &Scale) -> (Vec<ArmSettings>, Vec<HostedArm>) {
    let mut names = BTreeSet::new();
    let (mut arms, mut elsewhere) = (Vec::new(), Vec::new());
    for section in root.sections("arms") {
        let name = section.text("name");
        match hosted::place(&section) {
            Place::Here => {}
            // What its other keys mean is not known.
            Place::Nowhere => continue,
            Place::At(provider) => {
                let name = name.unwrap_or_else(|| provider.name().to_owned());
                check_arm_name(&section, &mut names, &name);
                elsewhere.push(hosted::arm(&section, provider, name));
                section.finish();
                continue;
            }
        }
        let method = section.choice("method", &MethodName::NAMES);
        if !section.has("method") {
            section.mistake(
                "method",
                "the arm has no method".to_owned(),
                format!("one of: {}", MethodName::NAMES.join(", ")),
            );
        }
        let method = method.and_then(|name| MethodName::named(&name));
        let name = name.or_else(|| method.map(|method| method.name().to_owned()));
        if let Some(name) = &name {
            check_arm_name(&section, &mut names, name);
        }
        // The rest is read even without a method, so that its mistakes are reported too.
        let hyperparameters = hyperparameters(&section, method, scale);
        let scales = scales::read(&section);
        let role = section.choice("role", &Role::NAMES);
        section.finish();
        if let (Some(name), Some(method)) = (name, method) {
            arms.push(ArmSettings {
                name,
                provider: "local".to_owned(),
                method,
                hyperparameters,
                scales,
                role: role.and_then(|name| Role::named(&name)),
            });
        }
    }
    if !root.has("arms") {
        root.mistake(
            "arms",
            "the recipe has no arm".to_owned(),
            "add one: [[arms]] and, beneath it, method = \"lora\"",
        );
    }
    (arms, elsewhere)
}

fn check_arm_name(section: &Section<'_, '_>, names: &mut BTreeSet<String>, name: &str) {
    check_name(section, name);
    if !names.insert(name.to_owned()) {
        section.mistake(
            "name",
            format!("two arms are called `{name}`"),
            "give each arm a `name` of its own",
        );
    }
}

fn hyperparameters(
    section: &Section<'_, '_>,
    method: Option<MethodName>,
    scale: &Scale,
) -> Hyperparameters {
    let steps = at_most(section, "steps", MOST_STEPS);
    let epochs = section.number("epochs", Bounds::Positive);
    if let Some(epochs) = epochs.filter(|epochs| *epochs > MOST_EPOCHS) {
        section.mistake(
            "epochs",
            format!("`epochs` is {epochs}"),
            format!("give a number of at most {MOST_EPOCHS}"),
        );
    }
    if steps.is_some() && epochs.is_some() {
        section.mistake(
            "epochs",
            "`steps` and `epochs` are both set".to_owned(),
            "keep the one that should decide when training ends",
        );
    }
    let method_or_lora = method.unwrap_or(MethodName::Lora);
    let mut settings = Hyperparameters::defaults(method_or_lora, Length::Steps(1));
    if let Some(rank) = at_most(section, "rank", MOST_RANK) {
        settings.set_rank(rank);
    }
    set(
        &mut settings.alpha,
        section.number("alpha", Bounds::Positive),
    );
    set(
        &mut settings.rank_stabilized,
        section.boolean("rank_stabilized"),
    );
    set(&mut settings.targets, targets(section));
    set(
        &mut settings.learning_rate,
        section.number("learning_rate", Bounds::Positive),
    );
    set(&mut settings.batch_tokens, section.size("batch_tokens", 16));
    set(
        &mut settings.gradient_accumulation,
        at_most(section, "gradient_accumulation", MOST_ACCUMULATION),
    );
    set(
        &mut settings.warmup,
        section.number("warmup", Bounds::Share),
    );
    set(
        &mut settings.weight_decay,
        section.number("weight_decay", Bounds::NotNegative),
    );
    set(&mut settings.clip, section.number("clip", Bounds::Positive));
    set(
        &mut settings.validate_every,
        section.size("validate_every", 0),
    );
    settings.early_stopping = section.size("early_stopping", 1);
    settings.length = match (steps, epochs) {
        (Some(steps), _) => Length::Steps(steps),
        (None, Some(epochs)) => Length::Epochs(epochs),
        (None, None) => {
            let per_step = settings.batch_tokens * settings.gradient_accumulation;
            Length::Steps(scale.training_tokens.div_ceil(per_step.max(1)).max(1))
        }
    };
    set(
        &mut settings.penalty,
        section.number("penalty", Bounds::NotNegative),
    );
    let kind = section.choice("anchor", &AnchorKind::NAMES);
    set(
        &mut settings.anchor.kind,
        kind.and_then(|name| AnchorKind::named(&name)),
    );
    set(
        &mut settings.anchor.share,
        section.number("anchor_share", Bounds::Share),
    );
    set(
        &mut settings.anchor.weight,
        section.number("anchor_weight", Bounds::NotNegative),
    );
    settings.anchor.tokens = section.size("anchor_tokens", 1);
    let null_space = null_space(section);
    let Some(method) = method else {
        return settings;
    };
    if method == MethodName::NullSpace {
        if section.has("rho") && null_space.subspace != Subspace::Contrastive {
            section.mistake(
                "rho",
                "only the subspace \"contrastive\" has a `rho`".to_owned(),
                "leave it out, or set subspace = \"contrastive\"",
            );
        }
        settings.null_space = Some(null_space);
    }
    let has = |key: &str| match key {
        "penalty" => method.has_penalty(),
        _ => method.has_subspace(),
    };
    if method.moves_whole_weights() {
        for key in ["rank", "alpha", "rank_stabilized"] {
            if section.has(key) {
                section.mistake(
                    key,
                    format!("`{key}` has no effect with method `full`, which moves whole weights"),
                    "remove it, or use another method",
                );
            }
        }
    }
    if !settings.anchor.is_on() {
        for key in ["anchor", "anchor_weight", "anchor_tokens"] {
            if section.has(key) {
                section.mistake(
                    key,
                    format!("`{key}` has no effect: no retained reply is read"),
                    "add `anchor_share`, such as 0.15, or remove it",
                );
            }
        }
    }
    for key in ["penalty", "rho", "subspace"] {
        if section.has(key) && !has(key) {
            section.mistake(
                key,
                format!("`{key}` has no effect with method `{}`", method.name()),
                "remove it, or use method = \"null-space\"",
            );
        }
    }
    settings
}

/// A whole number from 1.
fn at_most(section: &Section<'_, '_>, key: &'static str, most: usize) -> Option<usize> {
    let value = section.size(key, 1)?;
    if value > most {
        section.mistake(
            key,
            format!("`{key}` is {value}"),
            format!("give a whole number of at most {most}"),
        );
    }
    Some(value.min(most))
}

fn null_space(section: &Section<'_, '_>) -> NullSpaceSettings {
    let mut settings = NullSpaceSettings::default();
    set(&mut settings.rho, section.number("rho", Bounds::Positive));
    let subspace = section.choice("subspace", &Subspace::NAMES);
    set(
        &mut settings.subspace,
        subspace.and_then(|name| Subspace::named(&name)),
    );
    settings
}

fn targets(section: &Section<'_, '_>) -> Option<Vec<String>> {
    let words = section.texts("targets")?;
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    for word in &words {
        match projections(word) {
            Some(names) => chosen.extend(names),
            None => {
                let known = [&TARGET_GROUPS[..], &PROJECTIONS[..]].concat();
                section.mistake(
                    "targets",
                    format!("no projection is called `{word}`"),
                    suggest::hint(word, &known),
                );
            }
        }
    }
    if words.is_empty() {
        section.mistake(
            "targets",
            "`targets` is empty, so nothing could train".to_owned(),
            "use \"all\", \"attention\", \"mlp\" or a list of projections",
        );
    }
    let ordered = PROJECTIONS.iter().filter(|name| chosen.contains(*name));
    Some(ordered.map(|name| (*name).to_owned()).collect())
}
