//! The parts of a recipe that say how arms are measured, and what is chosen by it.

use super::{check_exists, check_name, distinct_seeds, set, suggest};
use crate::evaluation::{Budgeted, suites as known};
use crate::models::Multiple;
use crate::settings::arm::{ArmSettings, Role, setting};
use crate::settings::presets::Scale;
use crate::settings::study::{
    Extent, FinalistSettings, GenerationSettings, RetainSettings, Split, StudySettings,
    SuiteSettings,
};
use crate::settings::table::{Bounds, Section};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub(super) fn suites(root: &Section<'_, '_>, scale: &Scale) -> Vec<SuiteSettings> {
    let sections = root.sections("suites");
    if sections.is_empty() {
        return shipped_suites(scale.items);
    }
    let mut names = BTreeSet::new();
    let mut suites = Vec::new();
    for section in sections {
        let name = section.text("name");
        let path = section.text("path");
        let skip = section.size("skip", 0).unwrap_or(0);
        let limit = section.size("limit", 1);
        let split = section.choice("split", &Split::NAMES);
        if !section.has("name") {
            section.mistake(
                "name",
                "the suite has no name".to_owned(),
                format!(
                    "a shipped one ({}), or any with a `path`",
                    known::MEASURED.join(", ")
                ),
            );
        }
        if let Some(path) = &path {
            check_exists(&section, "path", path);
        }
        if let Some(name) = name {
            check_name(&section, &name);
            if path.is_none() && !known::builtin_names().contains(&name.as_str()) {
                section.mistake(
                    "name",
                    format!("no shipped suite is called `{name}`"),
                    format!(
                        "{}, or add a `path` to read it from",
                        suggest::hint(&name, &known::MEASURED).trim_end_matches('?')
                    ),
                );
            }
            if !names.insert(name.clone()) {
                section.mistake(
                    "name",
                    format!("two suites are called `{name}`"),
                    "give each suite a `name` of its own",
                );
            }
            suites.push(SuiteSettings {
                name,
                path: path.map(PathBuf::from),
                skip,
                limit: limit.or(scale.items),
                split: split.and_then(|name| Split::named(&name)),
            });
        }
        section.finish();
    }
    suites
}

/// Every shipped suite under one limit; those that stand beside an axis's own number get half of it.
pub fn shipped_suites(limit: Option<usize>) -> Vec<SuiteSettings> {
    let beside = |name: &str| matches!(name, "requests" | "general_short" | "general_open");
    known::MEASURED
        .iter()
        .map(|name| SuiteSettings {
            name: (*name).to_owned(),
            path: None,
            split: None,
            skip: 0,
            limit: limit.map(|limit| {
                if beside(name) {
                    limit.div_ceil(2)
                } else {
                    limit
                }
            }),
        })
        .collect()
}

pub(super) fn generation(root: &Section<'_, '_>, scale: &Scale) -> GenerationSettings {
    let mut settings = GenerationSettings {
        max_tokens: scale.reply_tokens,
        batch: 48,
    };
    if let Some(section) = root.section("generation") {
        set(&mut settings.max_tokens, section.size("max_tokens", 1));
        set(&mut settings.batch, section.size("batch", 1));
        section.finish();
    }
    settings
}

pub(super) fn retain(root: &Section<'_, '_>, scale: &Scale) -> RetainSettings {
    let mut settings = RetainSettings::of(scale);
    if let Some(section) = root.section("retain") {
        let paths = section.texts("paths").unwrap_or_default();
        for path in &paths {
            check_exists(&section, "paths", path);
        }
        settings.paths = paths.into_iter().map(PathBuf::from).collect();
        set(&mut settings.prompts, section.size("prompts", 2));
        set(&mut settings.tokens, section.size("tokens", 256));
        set(&mut settings.reply_tokens, section.size("reply_tokens", 1));
        section.finish();
    }
    settings
}

pub(super) fn budget(root: &Section<'_, '_>) -> BTreeMap<Budgeted, f64> {
    let mut limits = BTreeMap::new();
    if let Some(section) = root.section("budget") {
        for lost in Budgeted::ALL {
            if let Some(points) = section.number(lost.name(), Bounds::NotNegative) {
                limits.insert(lost, points);
            }
        }
        section.finish();
    }
    limits
}

/// What decides between the arms, and where the chosen are measured.
pub(super) fn finalists(
    root: &Section<'_, '_>,
    scale: &Scale,
    arms: &[ArmSettings],
) -> Option<FinalistSettings> {
    let section = root.section("finalists")?;
    let mut settings = FinalistSettings {
        gain_share: 0.98,
        seeds: distinct_seeds(&section),
        comparators: comparators(&section, arms),
        results: section.text("results").map(PathBuf::from),
        suites: suites(&section, scale),
    };
    set(
        &mut settings.gain_share,
        section.number("gain_share", Bounds::Share),
    );
    if !section.has("suites") {
        section.mistake(
            "suites",
            "the finalists have no suites".to_owned(),
            "add [[finalists.suites]]: items that no choice was made with",
        );
    }
    section.finish();
    Some(settings)
}

/// Settings by the names that the frontier's tables give them: an arm, or `ARM*SCALE`.
fn comparators(section: &Section<'_, '_>, arms: &[ArmSettings]) -> Vec<(String, Multiple)> {
    let mut settings = BTreeMap::new();
    for arm in arms {
        for &scale in &arm.scales {
            settings.insert(setting(&arm.name, scale), (arm.name.clone(), scale));
        }
    }
    let names: Vec<&str> = settings.keys().map(String::as_str).collect();
    let mut chosen = Vec::new();
    for name in section.texts("comparators").unwrap_or_default() {
        match settings.get(&name) {
            Some(known) if chosen.contains(known) => section.mistake(
                "comparators",
                format!("`{name}` is named twice"),
                "name each setting once",
            ),
            Some(known) => chosen.push(known.clone()),
            // Where every arm is mistaken or trained elsewhere, that is what there is to say.
            None if names.is_empty() => {}
            None => section.mistake(
                "comparators",
                format!("no setting of an arm is called `{name}`"),
                suggest::hint(&name, &names),
            ),
        }
    }
    chosen
}

/// What finalists need, and what cannot be had together.
pub(super) fn check_finalists(root: &Section<'_, '_>, settings: &StudySettings) {
    if !settings.budget.is_empty() {
        for (key, set) in [
            ("keep", settings.keep.is_some()),
            ("finalists", settings.finalists.is_some()),
        ] {
            if set {
                root.mistake(
                    key,
                    format!("`{key}` and `[budget]` are both set"),
                    "remove one: a budget makes its choice for each arm anew",
                );
            }
        }
        if let Some(suite) = settings.suites.iter().find(|suite| suite.split.is_some()) {
            root.mistake(
                "budget",
                format!("the suite `{}` has a `split`, and there is a `[budget]`", suite.name),
                "remove the split: a budget divides each suite itself, to choose on one part and report on the other",
            );
        }
    }
    let flag = match settings.extent {
        Extent::Whole => None,
        Extent::Finalists => Some("--finalists chooses among"),
        Extent::Kept => Some("--kept reports from"),
    };
    if let Some(flag) = flag
        && settings.keep.is_none()
    {
        root.mistake(
            "keep",
            format!("{flag} kept scores, and the recipe keeps none"),
            "name a folder, such as: keep = \"scores\"",
        );
    }
    if settings.extent == Extent::Finalists && settings.finalists.is_none() {
        root.mistake(
            "finalists",
            "--finalists measures them, and the recipe asks for none".to_owned(),
            "add a table [finalists], as recipes/frontier.toml has it",
        );
    }
    if settings.finalists.is_some() {
        for role in Role::ALL {
            if settings.arms.iter().all(|arm| arm.role != Some(role)) {
                root.mistake(
                    "finalists",
                    format!("no arm has the role \"{}\"", role.name()),
                    "give it to the arms to choose among, such as: role = \"yardstick\"",
                );
            }
        }
    }
}
