//! Every `*.jsonl` of the shared data, opened as it stands and counted against its README.

use super::{Form, inspect, read};
use crate::evaluation::Axis;
use crate::evaluation::items::Task;
use std::path::{Path, PathBuf};

/// The shared data, or `None` with a note where a machine has none.
pub(crate) fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let candidates = [
        std::env::var_os("STEADFAST_DATA").map(PathBuf::from),
        Some(root.join("../shared/data")),
        // A worktree lies one folder deeper.
        Some(root.join("../../shared/data")),
    ];
    let found = candidates.into_iter().flatten().find(|path| path.is_dir());
    if found.is_none() {
        eprintln!("skipped: no shared data (set STEADFAST_DATA to its folder)");
    }
    found
}

/// (file, form, rows of its README)
const FILES: [(&str, Form, usize); 36] = [
    ("counterspeech_crowdcounter/dev", Form::CrowdCounter, 100),
    ("counterspeech_crowdcounter/test", Form::CrowdCounter, 930),
    ("counterspeech_crowdcounter/train", Form::CrowdCounter, 2047),
    ("dolly/dolly_3k_dev", Form::Open, 323),
    ("dolly/dolly_3k_test", Form::Open, 698),
    ("dolly/dolly_3k_train", Form::Open, 1742),
    ("dolly/dolly_unfiltered_sample", Form::PromptResponse, 794),
    ("hatecheck/test_suite_cases", Form::HateCheck, 2948),
    ("hotel_multiwoz/dev", Form::Dialogue, 56),
    ("hotel_multiwoz/test", Form::Dialogue, 48),
    ("hotel_nlupp/dev", Form::Intents, 97),
    ("hotel_nlupp/test", Form::Intents, 151),
    ("hotel_nlupp/train", Form::Intents, 704),
    ("hotel_sgd/dev", Form::Dialogue, 56),
    ("hotel_sgd/test", Form::Dialogue, 139),
    ("hotel_sgd/train", Form::Dialogue, 457),
    ("hotel_star/dev", Form::Dialogue, 50),
    ("hotel_star/test", Form::Dialogue, 84),
    ("hotel_star/train", Form::Dialogue, 385),
    ("knowledge/arc_challenge", Form::Choice, 854),
    ("knowledge/arc_easy", Form::Choice, 1779),
    ("knowledge/boolq", Form::PassageChoice, 1219),
    ("knowledge/lambada", Form::Cloze, 1610),
    ("knowledge/misconceptions", Form::StatementChoice, 153),
    ("knowledge/nq_open", Form::ShortAnswers, 2679),
    ("knowledge/openbookqa", Form::Choice, 370),
    ("knowledge/piqa", Form::Choice, 1385),
    ("knowledge/triviaqa", Form::ShortAnswer, 2237),
    ("knowledge/truthfulqa", Form::TruthfulChoice, 626),
    ("knowledge/wikidata", Form::Cloze, 1890),
    ("knowledge/winogrande", Form::Beginnings, 969),
    ("refusal_prompts/advbench", Form::Harmful, 383),
    ("refusal_prompts/harmbench_standard", Form::Harmful, 147),
    ("refusal_prompts/simplesafetytests", Form::Harmful, 69),
    ("toxigen/seed_statements", Form::ToxiGenSeed, 583),
    ("xstest/prompts", Form::XsTest, 339),
];

const TOXIGEN: [(&str, usize); 3] = [
    ("toxigen/annotated_dev", 866),
    ("toxigen/annotated_test", 1344),
    ("toxigen/annotated_train", 6301),
];

#[test]
fn every_shared_file_has_its_form_and_its_rows() {
    let Some(folder) = folder() else { return };
    let toxigen = TOXIGEN.map(|(file, rows)| (file, Form::ToxiGen, rows));
    for (file, form, rows) in FILES.into_iter().chain(toxigen) {
        let path = folder.join(file).with_extension("jsonl");
        let inspection = inspect(&path).unwrap_or_else(|error| panic!("{file}: {error} {error:?}"));
        assert_eq!((inspection.form, inspection.rows), (form, rows), "{file}");
        match form.axis() {
            None => assert!(read(file, &path).is_err()),
            // Dialogues are read (and tested) by `conversations::dialogues`.
            Some(_) if form == Form::Dialogue => {}
            Some(axis) => {
                let suite =
                    read(file, &path).unwrap_or_else(|error| panic!("{file}: {error} {error:?}"));
                assert_eq!(suite.axis, axis, "{file}");
                let thinned = matches!(form, Form::CrowdCounter | Form::ToxiGen);
                assert!(
                    thinned || suite.items.len() == rows,
                    "{file}: {}",
                    suite.items.len()
                );
            }
        }
    }
    // No file of the folder is left out of the table.
    let mut files = 0;
    for entry in std::fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        files += std::fs::read_dir(entry.path())
            .unwrap()
            .flatten()
            .filter(|file| file.path().extension().is_some_and(|ext| ext == "jsonl"))
            .count();
    }
    assert_eq!(files, FILES.len() + TOXIGEN.len());
}

#[test]
fn toxigen_statements_are_clear_and_have_pairs_of_replies() {
    let Some(folder) = folder() else { return };
    let suite = read("toxigen", &folder.join("toxigen/annotated_test.jsonl")).unwrap();
    assert_eq!(suite.axis, Axis::Safety);
    let mut toxic = 0;
    for item in &suite.items {
        let Task::Statement {
            statement,
            constructive,
            agreeing,
            benign,
        } = &item.task
        else {
            panic!()
        };
        assert!(statement.chars().count() >= 15);
        assert!(item.group.is_some(), "{}", item.id);
        assert_eq!((constructive.len(), agreeing.len()), (4, 4));
        toxic += usize::from(!benign);
    }
    assert!(
        toxic >= 100 && suite.items.len() - toxic >= 100,
        "{toxic} of {}",
        suite.items.len()
    );
}

#[test]
fn truthfulqa_does_not_list_the_right_choice_first() {
    let Some(folder) = folder() else { return };
    let suite = read("truthfulqa", &folder.join("knowledge/truthfulqa.jsonl")).unwrap();
    let first = suite
        .items
        .iter()
        .filter(|item| matches!(item.task, Task::Choice { answer: 0, .. }))
        .count();
    assert!(
        first * 2 < suite.items.len(),
        "{first} of {}",
        suite.items.len()
    );
}
