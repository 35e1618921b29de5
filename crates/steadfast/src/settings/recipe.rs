//! A study's recipe: TOML in, [`StudySettings`] out, every mistake named with its line.

use super::device::TrainingDevice;
use super::presets::{Preset, Scale};
use super::study::{DataSettings, DataSource, Extent, StudySettings};
use super::suggest;
use super::table::{Bounds, Section, Source};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

mod arms;
mod hosted;
mod judging;
mod measuring;
mod scales;

pub use measuring::shipped_suites;

/// The study that runs when no recipe is named.
pub const SHIPPED: &str = include_str!("../../../../recipes/hotel.toml");

/// What the shipped recipe is called in messages.
pub const SHIPPED_PATH: &str = "recipes/hotel.toml";

/// What the flags say; each wins over the recipe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--preset`
    pub preset: Option<Preset>,
    /// `--runs`
    pub runs: Option<PathBuf>,
    /// `--seed`
    pub seed: Option<u64>,
    /// `--finalists`, `--kept`
    pub extent: Extent,
}

/// Reads the recipe at `path`, or the shipped one.
pub fn read(path: Option<&Path>, overrides: &Overrides) -> Result<StudySettings> {
    let Some(path) = path else {
        return parse(Path::new(SHIPPED_PATH), SHIPPED, overrides);
    };
    let bytes = std::fs::read(path).map_err(|cause| {
        Error::file("read", path, cause).hint(format!(
            "give the path of a recipe such as {SHIPPED_PATH}, or none for the shipped study"
        ))
    })?;
    let text = String::from_utf8(bytes).map_err(|cause| {
        Error::user("the recipe is not UTF-8")
            .at(path)
            .because(cause.utf8_error())
            .hint("save it as UTF-8 text")
    })?;
    parse(path, &text, overrides)
}

/// Reads a recipe from its text; `path` is its name in messages.
pub fn parse(path: &Path, text: &str, overrides: &Overrides) -> Result<StudySettings> {
    let source = Source::new(path, text);
    let document = source.parse()?;
    let root = Section::root(&source, &document);

    let written = root
        .choice("preset", &Preset::NAMES)
        .and_then(|name| Preset::named(&name));
    let preset = overrides.preset.or(written).unwrap_or(Preset::Quick);
    let scale = preset.scale();

    let (arms, elsewhere) = arms::read(&root, &scale);
    let finalists = measuring::finalists(&root, &scale, &arms);
    let settings = StudySettings {
        name: name(&root),
        command: command(path, preset, overrides),
        base: root.text("base"),
        preset,
        seeds: seeds(&root, overrides),
        runs: overrides
            .runs
            .clone()
            .or_else(|| root.text("runs").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("runs")),
        data: data(&root, &scale),
        device: device(&root),
        arms,
        hosted: elsewhere,
        suites: measuring::suites(&root, &scale),
        generation: measuring::generation(&root, &scale),
        retain: measuring::retain(&root, &scale),
        budget: measuring::budget(&root),
        judge: judging::judge(&root),
        finalists,
        keep: root.text("keep").map(PathBuf::from),
        extent: overrides.extent,
    };
    measuring::check_finalists(&root, &settings);
    hosted::check(&root, &settings);
    // Asked even where a flag won, so that the key is known.
    root.text("runs");
    root.finish();
    source.finish()?;
    Ok(settings)
}

/// What makes the study again. The shipped recipe is part of the program and needs no path.
fn command(path: &Path, preset: Preset, overrides: &Overrides) -> String {
    let mut words = vec!["steadfast study".to_owned()];
    if path != Path::new(SHIPPED_PATH) {
        words.push(path.display().to_string());
    }
    words.push(format!("--preset {}", preset.name()));
    words.extend(overrides.seed.map(|seed| format!("--seed {seed}")));
    words.join(" ")
}

fn name(root: &Section<'_, '_>) -> String {
    let Some(name) = root.text("name") else {
        if !root.has("name") {
            root.mistake(
                "name",
                "the recipe has no name".to_owned(),
                "open it with a line such as: name = \"hotel\"",
            );
        }
        return String::new();
    };
    check_name(root, &name);
    name
}

/// Names become parts of paths, so they hold only what every file system takes.
fn check_name(section: &Section<'_, '_>, name: &str) {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        section.mistake(
            "name",
            format!("the name `{name}` cannot be part of a path"),
            "use letters, digits, `-`, `_` and `.`, and begin with no `.`",
        );
    }
}

/// The seeds of a section; 0 alone where it names none.
fn distinct_seeds(section: &Section<'_, '_>) -> Vec<u64> {
    let seeds = section.counts("seeds").unwrap_or_else(|| vec![0]);
    let distinct: BTreeSet<_> = seeds.iter().collect();
    if seeds.is_empty() || distinct.len() < seeds.len() {
        section.mistake(
            "seeds",
            "`seeds` is empty or names a seed twice".to_owned(),
            "give each seed once, such as: seeds = [0, 1, 2]",
        );
    }
    seeds
}

fn seeds(root: &Section<'_, '_>, overrides: &Overrides) -> Vec<u64> {
    let mut seeds = distinct_seeds(root);
    if let Some(seed) = overrides.seed {
        seeds = vec![seed];
    }
    seeds
}

fn device(root: &Section<'_, '_>) -> TrainingDevice {
    let Some(text) = root.text("device") else {
        return TrainingDevice::Cpu;
    };
    TrainingDevice::parse(&text).unwrap_or_else(|refusal| {
        root.mistake("device", refusal.message, refusal.hint);
        TrainingDevice::Cpu
    })
}

fn data(root: &Section<'_, '_>, scale: &Scale) -> DataSettings {
    let simulator = DataSource::Simulator {
        conversations: scale.conversations,
    };
    let mut settings = DataSettings {
        source: simulator,
        validation_share: DataSettings::VALIDATION_SHARE,
        limit: None,
    };
    let Some(data) = root.section("data") else {
        return settings;
    };
    let source = data.choice("source", &["simulator", "files"]);
    let conversations = data.size("conversations", 2);
    let paths = data.texts("paths");
    match (source.as_deref(), paths) {
        (Some("files"), None) => data.mistake(
            "paths",
            "`source` is \"files\", but there are no `paths`".to_owned(),
            "list the files, such as: paths = [\"train.jsonl\"]",
        ),
        (Some("simulator"), Some(_)) => data.mistake(
            "paths",
            "`paths` has no effect with source \"simulator\"".to_owned(),
            "remove `source` to read the files, or remove `paths`",
        ),
        (_, Some(paths)) => {
            if paths.is_empty() {
                data.mistake(
                    "paths",
                    "`paths` is empty".to_owned(),
                    "list at least one file",
                );
            }
            for path in &paths {
                check_exists(&data, "paths", path);
            }
            if conversations.is_some() {
                data.mistake(
                    "conversations",
                    "`conversations` is for the simulator, and `paths` is set".to_owned(),
                    "use `limit` to take fewer conversations from files",
                );
            }
            settings.source = DataSource::Files(paths.into_iter().map(PathBuf::from).collect());
        }
        (_, None) => {
            if let Some(conversations) = conversations {
                settings.source = DataSource::Simulator { conversations };
            }
        }
    }
    if let Some(share) = data.number("validation_share", Bounds::Share) {
        if share >= 0.9 {
            data.mistake(
                "validation_share",
                format!("`validation_share` is {share}, which leaves little to learn from"),
                "give less than 0.9; 0.1 is usual",
            );
        }
        settings.validation_share = share;
    }
    settings.limit = data.size("limit", 2);
    data.finish();
    settings
}

fn check_exists(section: &Section<'_, '_>, key: &str, path: &str) {
    if !Path::new(path).exists() {
        section.mistake(
            key,
            format!("there is no file or folder `{path}`"),
            "paths are taken from the folder that the command runs in",
        );
    }
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::arm::{Length, MethodName};

    fn mistakes(text: &str) -> Vec<Error> {
        let Err(mut first) = parse(Path::new("r.toml"), text, &Overrides::default()) else {
            panic!("a mistake was expected in {text}");
        };
        let mut all = std::mem::take(&mut first.others);
        all.insert(0, first);
        all
    }

    #[test]
    fn the_shipped_recipe_is_valid_under_every_preset() {
        for preset in [Preset::Quick, Preset::Standard, Preset::Full] {
            let overrides = Overrides {
                preset: Some(preset),
                runs: None,
                seed: Some(7),
                extent: Extent::Whole,
            };
            let settings = read(None, &overrides).expect("the shipped recipe");
            assert_eq!(settings.preset, preset);
            assert_eq!(settings.seeds, [7]);
            let methods: Vec<_> = settings.arms.iter().map(|arm| arm.method).collect();
            assert_eq!(methods, [MethodName::Lora, MethodName::NullSpace]);
            assert_eq!(settings.generation.max_tokens, preset.scale().reply_tokens);
        }
    }

    #[test]
    fn all_mistakes_are_reported_at_once_in_the_order_of_their_lines() {
        let all = mistakes(
            "name = \"x\"\nsedes = [1]\n[[arms]]\nmethod = \"nullspace\"\nrank = \"big\"\n\
             learning_rate = -0.1\n[[suites]]\nlimit = 0\n",
        );
        let places: Vec<_> = all
            .iter()
            .map(|mistake| (mistake.place.line, mistake.place.field.as_deref()))
            .collect();
        assert_eq!(
            places,
            [
                (Some(2), Some("sedes")),
                (Some(4), Some("arms[0].method")),
                (Some(5), Some("arms[0].rank")),
                (Some(6), Some("arms[0].learning_rate")),
                (Some(7), Some("suites[0].name")),
                (Some(8), Some("suites[0].limit")),
            ]
        );
        assert_eq!(all[0].hint.as_deref(), Some("did you mean `seeds`?"));
        assert_eq!(all[1].hint.as_deref(), Some("did you mean `null-space`?"));
    }

    #[test]
    fn a_device_is_read_and_the_cpu_is_no_part_of_the_settings() {
        let written = format!("device = \"cpu\"\n{SHIPPED}");
        let settings = |text| parse(Path::new("r.toml"), text, &Overrides::default()).unwrap();
        assert_eq!(settings(&written), settings(SHIPPED));
        let json = serde_json::to_string(&settings(&written)).unwrap();
        assert!(!json.contains("\"device\""), "old runs keep their id");
        let [mistake] = &mistakes(&format!("device = \"gpu\"\n{SHIPPED}"))[..] else {
            panic!("one mistake was expected");
        };
        assert_eq!(mistake.place.field.as_deref(), Some("device"));
    }

    #[test]
    fn a_rank_alone_keeps_the_scale_of_the_adapter() {
        let text = "name = \"x\"\n[[arms]]\nmethod = \"lora\"\nrank = 4\nepochs = 2\n";
        let settings = parse(Path::new("r.toml"), text, &Overrides::default()).expect("valid");
        let arm = &settings.arms[0].hyperparameters;
        assert_eq!(
            (arm.rank, arm.alpha, arm.length),
            (4, 8.0, Length::Epochs(2.0))
        );
        assert_eq!(arm.null_space, None);
    }

    #[test]
    fn of_retained_replies_the_first_tokens_are_read_where_that_is_asked_for() {
        let anchor = |lines: &str| {
            let text = format!("name = \"x\"\n[[arms]]\nmethod = \"null-space\"\n{lines}");
            let settings = parse(Path::new("r.toml"), &text, &Overrides::default()).expect("valid");
            settings.arms[0].hyperparameters.anchor.clone()
        };
        let (whole, begun) = (anchor(""), anchor("anchor_tokens = 2\n"));
        assert_eq!(whole.part(&[5, 6, 7]), [5, 6, 7]);
        assert_eq!(begun.part(&[5, 6, 7]), [5, 6]);
        assert_eq!(begun.part(&[5]), [5]);
        let json = serde_json::to_string(&whole).unwrap();
        assert!(!json.contains("anchor_tokens"), "old runs keep their id");
    }

    #[test]
    fn targets_are_grouped_and_put_in_order() {
        let text = "name = \"x\"\n[[arms]]\nmethod = \"lora\"\ntargets = [\"mlp\", \"q_proj\"]\n";
        let settings = parse(Path::new("r.toml"), text, &Overrides::default()).expect("valid");
        assert_eq!(
            settings.arms[0].hyperparameters.targets,
            ["q_proj", "gate_proj", "up_proj", "down_proj"]
        );
    }

    proptest::proptest! {
        /// Whatever the text, reading ends in settings or in mistakes that name the file.
        #[test]
        fn no_text_makes_the_reader_panic(text in "[a-z\\[\\]=\"0-9 .\n-]{0,120}") {
            if let Err(error) = parse(Path::new("r.toml"), &text, &Overrides::default()) {
                proptest::prop_assert_eq!(error.place.path, Some(PathBuf::from("r.toml")));
            }
        }
    }
}
