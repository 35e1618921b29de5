//! Every family's chat format against transformers: texts, ids and masks.
//!
//! The expected ones are in `tests/golden/chats.json`, made by `chats.py` there, with the files of a
//! small model of each family; docs/models.md says what is compared.

use super::*;
use crate::conversations::{Conversation, chat, tokens};
use crate::models::families::FAMILIES;
use crate::models::language_model::read_text;
use crate::models::tokenizer::Tokenizer;
use std::collections::BTreeMap;

/// The moment at which the expected texts were made.
const NOW: &str = "2026-11-24T09:05:07Z";

#[derive(serde::Deserialize)]
struct Family {
    name: String,
    architectures: Vec<String>,
    files: BTreeMap<String, String>,
    cases: Vec<Case>,
    tools: serde_json::Value,
    tool_cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    messages: serde_json::Value,
    whole: Rendered,
    prompt: Rendered,
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    learn: String,
}

#[derive(serde::Deserialize)]
struct Expressions {
    messages: Vec<Message>,
    cases: Vec<Expression>,
}

#[derive(serde::Deserialize)]
struct Expression {
    source: String,
    #[serde(flatten)]
    rendered: Rendered,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rendered {
    Text(String),
    /// The template's own words, where it has some.
    Refused(Option<String>),
}

fn golden() -> (Expressions, Vec<Family>) {
    let text = include_str!("../../../../../tests/golden/chats.json");
    let mut all: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    let families = all.split_off(1);
    let read = |family| serde_json::from_value(family).unwrap();
    (
        serde_json::from_value(all.remove(0)).unwrap(),
        families.into_iter().map(read).collect(),
    )
}

impl ChatTemplate {
    /// The same with a clock that stands still.
    fn at_golden_time(mut self) -> Self {
        let now: jiff::Timestamp = NOW.parse().unwrap();
        self.standing = now.to_zoned_datetime(TimeZone::UTC);
        self
    }
}

impl Family {
    /// Read from a folder, as a model's is.
    fn read(&self) -> (Tokenizer, ChatTemplate) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in &self.files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (tokenizer, template) = read_text(folder.path()).unwrap();
        (tokenizer, template.at_golden_time())
    }
}

impl Rendered {
    /// What differs, if anything.
    fn differs(&self, found: &Result<String>) -> Option<String> {
        match (self, found) {
            (Self::Text(expected), Ok(found)) => {
                (found != expected).then(|| format!("{found:?}\n  instead of {expected:?}"))
            }
            (Self::Text(expected), Err(error)) => Some(format!("{error:?}, not {expected:?}")),
            (Self::Refused(words), Ok(found)) => Some(format!("{found:?}, not refused: {words:?}")),
            (Self::Refused(words), Err(error)) => {
                let said = error.cause.as_ref().map(ToString::to_string);
                let said = said.unwrap_or_default();
                let words = words.as_deref().unwrap_or_default();
                (!said.contains(words)).then(|| format!("refused: {said}, not {words}"))
            }
        }
    }
}

/// What differs, and where.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn note(&mut self, place: &str, how: Option<String>) {
        self.0.extend(how.map(|how| format!("{place}: {how}")));
    }

    /// Fails with all of them at once.
    fn none(self) {
        let count = self.0.len();
        assert!(count == 0, "{count}:\n{}", self.0.join("\n"));
    }
}

#[test]
fn texts_ids_and_masks_are_those_of_transformers() {
    let mut differences = Differences::default();
    for family in golden().1 {
        let (tokenizer, template) = family.read();
        for case in &family.cases {
            let place = format!("{}, {}", family.name, case.name);
            let messages: Vec<Message> = serde_json::from_value(case.messages.clone()).unwrap();
            let whole = template.render(&messages, false);
            let prompt = template.render(&messages[..messages.len() - 1], true);
            differences.note(&place, case.whole.differs(&whole));
            differences.note(&place, case.prompt.differs(&prompt));
            let Rendered::Text(text) = &case.whole else {
                assert!(tokens::mark(&tokenizer, &template, &Conversation { messages }).is_err());
                continue;
            };
            let ids = tokenizer.encode(text).unwrap();
            let apart = ids != case.ids;
            let how = apart.then(|| format!("{ids:?}\n  instead of {:?}", case.ids));
            differences.note(&place, how);
            match tokens::mark(&tokenizer, &template, &Conversation { messages }) {
                Err(error) if case.learn.contains('1') => {
                    differences.note(&place, Some(error.to_string()));
                }
                Err(error) => assert!(error.hint.is_some()),
                Ok(example) => {
                    let learn = example
                        .learn
                        .iter()
                        .map(|&learn| u8::from(learn).to_string());
                    let learn: String = learn.collect();
                    let apart = learn != case.learn;
                    let how = || format!("{learn}\n  instead of {}: {text:?}", case.learn);
                    differences.note(&place, apart.then(how));
                }
            }
        }
    }
    differences.none();
}

#[test]
fn texts_with_tools_are_those_of_transformers_and_chat_data_takes_none() {
    let mut differences = Differences::default();
    for family in golden().1 {
        let (_, template) = family.read();
        for case in &family.tool_cases {
            let place = format!("{}, {}", family.name, case.name);
            let turns = case.messages.as_array().unwrap();
            let print = |turns: &[serde_json::Value], prompt| {
                let tools = Value::from(Serde(&family.tools));
                template.print(&template.standing, Value::from(Serde(turns)), tools, prompt)
            };
            let last = turns.len() - 1;
            differences.note(&place, case.whole.differs(&print(turns, false)));
            differences.note(&place, case.prompt.differs(&print(&turns[..last], true)));
            let line = serde_json::json!({ "messages": turns }).to_string();
            let called = turns.iter().any(|turn| turn["role"] == "tool");
            assert_eq!(chat::parse(line.as_bytes()).is_err(), called, "{line}");
        }
    }
    differences.none();
}

#[test]
fn what_templates_are_written_with_does_what_it_does_in_transformers() {
    let (expressions, _) = golden();
    let mut differences = Differences::default();
    for case in &expressions.cases {
        let found = ChatTemplate::new(&case.source, None, None).and_then(|template| {
            template
                .at_golden_time()
                .render(&expressions.messages, false)
        });
        differences.note(&case.source, case.rendered.differs(&found));
    }
    differences.none();
}

#[test]
fn every_family_is_compared_and_the_documentation_says_with_what_result() {
    let page = include_str!("../../../../../docs/models.md");
    let (_, table) = page
        .split_once("## Chat formats against transformers")
        .expect("the page says what was compared");
    let families = golden().1;
    for family in &families {
        let cases = || family.cases.iter().chain(&family.tool_cases);
        let text = |case: &&Case| matches!(case.whole, Rendered::Text(_));
        let (same, refused) = (
            cases().filter(text).count(),
            cases().filter(|case| !text(case)).count(),
        );
        let start = format!("| `{}` |", family.name);
        let row = table.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("docs/models.md has no row for {}", family.name));
        let end = format!("| {same} | {refused} |");
        assert!(row.ends_with(&end), "{row}\nshould end with {end}");
    }
    for family in &FAMILIES {
        let named = |of: &Family| of.architectures.iter().any(|it| it == family.architecture);
        assert!(families.iter().any(named), "{}", family.architecture);
    }
}
