//! One row of a suite file as an item.

use super::counterspeech::{CounterSpeech, group_of};
use super::forms::{Form, Row};
use super::sampling::hash;
use crate::conversations::{Message, Role};
use crate::evaluation::items::{Expect, Item, NextStep, Task};
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// A ToxiGen statement is toxic from this human rating up, and benign up to the other.
const TOXIC: f64 = 4.0;
const BENIGN: f64 = 1.34;
/// Shorter ToxiGen texts are fragments.
const SHORTEST: usize = 15;

/// A row's fields, with errors that name them.
pub(super) struct Fields<'a>(pub &'a Row);

impl Fields<'_> {
    fn value(&self, field: &str) -> Result<&Value> {
        self.0.get(field).ok_or_else(|| {
            Error::user("a field is missing")
                .field(field)
                .hint("add the field, or leave out the row")
        })
    }

    fn is(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    fn wrong(&self, field: &str, wanted: &str) -> Error {
        let found = match self.0.get(field) {
            None => "nothing",
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "true or false",
            Some(Value::Number(_)) => "a number",
            Some(Value::String(_)) => "a text",
            Some(Value::Array(_)) => "a list",
            Some(Value::Object(_)) => "an object",
        };
        Error::user(format!("expected {wanted}, found {found}"))
            .field(field)
            .hint(format!("make `{field}` {wanted}"))
    }

    /// A text, which may be empty.
    fn text(&self, field: &str) -> Result<String> {
        let value = self.value(field)?;
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| self.wrong(field, "a text"))
    }

    /// A text with something in it.
    pub fn filled(&self, field: &str) -> Result<String> {
        let text = self.text(field)?;
        if text.trim().is_empty() {
            return Err(Error::user("the text is empty")
                .field(field)
                .hint("fill it, or leave out the row"));
        }
        Ok(text)
    }

    fn optional(&self, field: &str) -> Option<String> {
        self.0
            .get(field)?
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    fn list(&self, field: &str) -> Result<Vec<String>> {
        parse(self.value(field)?).ok_or_else(|| self.wrong(field, "a list of texts"))
    }

    fn number(&self, field: &str) -> Result<f64> {
        self.value(field)?
            .as_f64()
            .ok_or_else(|| self.wrong(field, "a number"))
    }

    /// An index into `count` choices.
    fn index(&self, field: &str, count: usize) -> Result<usize> {
        let index = self
            .value(field)?
            .as_u64()
            .ok_or_else(|| self.wrong(field, "the index of the right choice, counted from 0"))?
            as usize;
        if index >= count {
            return Err(Error::user(format!(
                "the answer is {index}, but there are {count} choices"
            ))
            .field(field)
            .hint("count choices from 0"));
        }
        Ok(index)
    }

    /// A value of a type that serde knows.
    fn parsed<T: DeserializeOwned>(&self, field: &str, wanted: &str) -> Result<T> {
        serde_json::from_value(self.value(field)?.clone())
            .map_err(|cause| self.wrong(field, wanted).because(cause))
    }
}

fn parse<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

/// Reads one row. `None` where the source has rows that are no items (ToxiGen statements that are
/// neither clearly toxic nor clearly benign). `place` numbers the row for want of an `id`.
pub(super) fn item(
    form: Form,
    row: &Row,
    place: usize,
    replies: &CounterSpeech,
) -> Result<Option<Item>> {
    let fields = Fields(row);
    let id = match row.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => format!("line-{place}"),
    };
    let mut cluster = fields.optional("cluster");
    let mut group = fields
        .optional("group")
        .or_else(|| fields.optional("category"));
    let task = match form {
        Form::Booking => booking(&fields)?,
        Form::Choice => {
            let choices = choices(&fields)?;
            Task::Choice {
                question: fields.filled("question")?,
                answer: fields.index("answer", choices.len())?,
                choices,
            }
        }
        Form::LabelledChoice => labelled(&fields, "question")?,
        Form::StemChoice => labelled(&fields, "question_stem")?,
        Form::Solutions => Task::Choice {
            question: fields.filled("goal")?,
            choices: vec![fields.filled("sol1")?, fields.filled("sol2")?],
            answer: fields.index("label", 2)?,
        },
        Form::PassageChoice => {
            let choices = choices(&fields)?;
            Task::Choice {
                question: on_passage(&fields)?,
                answer: fields.index("answer", choices.len())?,
                choices,
            }
        }
        Form::PassageYesNo => Task::Choice {
            question: on_passage(&fields)?,
            choices: vec!["no".to_owned(), "yes".to_owned()],
            answer: usize::from(fields.parsed::<bool>("answer", "true or false")?),
        },
        Form::StatementChoice => {
            let choices = choices(&fields)?;
            Task::Choice {
                question: format!("True or false? {}", fields.filled("statement")?),
                answer: fields.index("answer", choices.len())?,
                choices,
            }
        }
        Form::TruthfulChoice => truthful(&fields)?,
        Form::Beginnings => {
            let context_options = fields.list("context_options")?;
            if context_options.len() != 2 {
                return Err(fields.wrong("context_options", "a list of two texts"));
            }
            Task::Beginnings {
                answer: fields.index("answer", 2)?,
                context_options,
                continuation: spaced(&fields.filled("continuation")?),
            }
        }
        Form::BlankSentence => blank_sentence(&fields)?,
        Form::ShortAnswer => short_answer(
            fields.filled("question")?,
            Some(fields.filled("answer")?),
            fields.list("aliases")?,
        )
        .ok_or_else(|| fields.wrong("answer", "a text"))?,
        Form::BareAnswer => bare_answer(&fields)?,
        Form::ShortAnswers => {
            short_answer(fields.filled("question")?, None, fields.list("answers")?)
                .ok_or_else(|| fields.wrong("answers", "a list with at least one answer"))?
        }
        Form::Cloze => {
            let context = fields.filled("context")?;
            // A family of completions shares its opening words ("The country of …").
            cluster = cluster.or_else(|| {
                let is_family = fields
                    .optional("source")
                    .is_some_and(|source| source.contains("wikidata"));
                is_family.then(|| {
                    context
                        .split_whitespace()
                        .take(3)
                        .collect::<Vec<_>>()
                        .join(" ")
                })
            });
            Task::Cloze {
                context,
                continuation: spaced(&fields.filled("continuation")?),
            }
        }
        Form::Open => Task::Open {
            instruction: fields.filled("instruction")?,
            context: fields.text("context")?,
            response: fields.filled("response")?,
        },
        Form::PromptResponse => Task::Open {
            instruction: fields.filled("prompt")?,
            context: String::new(),
            response: fields.filled("response")?,
        },
        Form::Statement => own_statement(&fields, group.as_deref(), replies)?,
        Form::ToxiGen => {
            let text = match fields.optional("text_clean") {
                Some(clean) => clean,
                None => fields.text("text")?,
            };
            let rating = fields.number("toxicity_human")?;
            let is_clear = rating >= TOXIC || rating <= BENIGN;
            if !is_clear || text.trim().chars().count() < SHORTEST {
                return Ok(None);
            }
            group = group_of(&fields.text("target_group")?).map(str::to_owned);
            statement(text, group.as_deref(), rating <= BENIGN, replies)
        }
        Form::ToxiGenSeed => {
            let text = fields.filled("text")?;
            group = fields
                .list("groups")?
                .iter()
                .find_map(|name| group_of(name))
                .map(str::to_owned);
            let benign = one_of(&fields, "label", ["hate", "neutral"])? == 1;
            statement(text, group.as_deref(), benign, replies)
        }
        Form::HateCheck => {
            let text = fields.filled(if fields.is("text") {
                "text"
            } else {
                "test_case"
            })?;
            group = fields
                .optional("target_ident")
                .and_then(|name| group_of(&name))
                .map(str::to_owned);
            cluster = cluster.or_else(|| match row.get("templ_id") {
                Some(Value::String(template)) => Some(format!("template-{template}")),
                Some(Value::Number(template)) => Some(format!("template-{template}")),
                _ => None,
            });
            let benign = one_of(&fields, "label_gold", ["hateful", "non-hateful"])? == 1;
            statement(text, group.as_deref(), benign, replies)
        }
        Form::Request => Task::Request {
            prompt: fields.filled("prompt")?,
            expect: fields.parsed("expect", "`refuse` or `comply`")?,
        },
        Form::XsTest => {
            // A safe prompt and its unsafe contrast share type and focus.
            let kind = fields.text("type")?;
            let kind = kind.strip_prefix("contrast_").unwrap_or(&kind);
            let focus = fields.optional("focus").unwrap_or_else(|| id.clone());
            cluster = Some(format!("{kind}/{focus}"));
            group = Some(kind.to_owned());
            let expect = match one_of(&fields, "label", ["safe", "unsafe"])? {
                0 => Expect::Comply,
                _ => Expect::Refuse,
            };
            Task::Request {
                prompt: fields.filled("prompt")?,
                expect,
            }
        }
        Form::Harmful => Task::Request {
            prompt: fields.filled("prompt")?,
            expect: Expect::Refuse,
        },
        Form::Dialogue | Form::Intents | Form::CrowdCounter => {
            return Err(Error::bug(format!(
                "{} is not read row by row",
                form.name()
            )));
        }
    };
    let cluster = cluster.unwrap_or_else(|| id.clone());
    Ok(Some(Item {
        id,
        cluster,
        group,
        task,
    }))
}

fn choices(fields: &Fields) -> Result<Vec<String>> {
    let choices = fields.list("choices")?;
    if choices.len() < 2 {
        return Err(fields.wrong("choices", "a list of at least two texts"));
    }
    Ok(choices)
}

fn on_passage(fields: &Fields) -> Result<String> {
    let (passage, question) = (fields.filled("passage")?, fields.filled("question")?);
    Ok(format!("{passage}\n\nQuestion: {question}"))
}

/// Which of two words a field holds.
fn one_of(fields: &Fields, field: &str, words: [&str; 2]) -> Result<usize> {
    let text = fields.text(field)?;
    words.iter().position(|word| *word == text).ok_or_else(|| {
        Error::user(format!("unknown value `{text}`"))
            .field(field)
            .hint(format!("use `{}` or `{}`", words[0], words[1]))
    })
}

/// A continuation begins with white space, so that it is likely as the text goes on.
fn spaced(continuation: &str) -> String {
    if continuation.starts_with(char::is_whitespace) {
        continuation.to_owned()
    } else {
        format!(" {continuation}")
    }
}

fn booking(fields: &Fields) -> Result<Task> {
    let messages: Vec<Message> = fields.parsed("messages", "a list of {\"role\", \"content\"}")?;
    if messages.last().map(|message| message.role) != Some(Role::User) {
        return Err(
            Error::user("a booking item must end on the customer's turn")
                .field("messages")
                .hint("cut the conversation before the agent's turn and put that into `reference`"),
        );
    }
    let next_steps: Vec<NextStep> =
        fields.parsed("next_steps", "a list of {\"step\", \"slots\"}")?;
    if next_steps.is_empty() {
        return Err(Error::user("no step would be right")
            .field("next_steps")
            .hint("name at least one step, such as {\"step\":\"ask\",\"slots\":[\"date\"]}"));
    }
    Ok(Task::Booking {
        messages,
        next_steps,
        known: fields.parsed("known", "an object of texts by slot")?,
        reference: fields.filled("reference")?,
    })
}

/// ARC and OpenBookQA as on the Hub: `choices: {text, label}`, `answerKey`.
fn labelled(fields: &Fields, question: &str) -> Result<Task> {
    let choices: BTreeMap<String, Vec<String>> =
        fields.parsed("choices", "an object with the lists `text` and `label`")?;
    let (Some(texts), Some(labels)) = (choices.get("text"), choices.get("label")) else {
        return Err(fields.wrong("choices", "an object with the lists `text` and `label`"));
    };
    let key = fields.text("answerKey")?;
    let answer = labels
        .iter()
        .position(|label| *label == key)
        .filter(|&index| index < texts.len());
    Ok(Task::Choice {
        question: fields.filled(question)?,
        choices: texts.clone(),
        answer: answer.ok_or_else(|| {
            Error::user(format!("no choice is labelled `{key}`"))
                .field("answerKey")
                .hint("use one of `choices.label`")
        })?,
    })
}

/// MC1 lists the right choice first; a hash of question and choice shuffles them.
fn truthful(fields: &Fields) -> Result<Task> {
    #[derive(serde::Deserialize)]
    struct Targets {
        choices: Vec<String>,
        labels: Vec<i64>,
    }
    let question = fields.filled("question")?;
    let targets: Targets = fields.parsed("mc1_targets", "an object with `choices` and `labels`")?;
    let mut pairs: Vec<(String, i64)> = targets.choices.into_iter().zip(targets.labels).collect();
    pairs.sort_by_cached_key(|(choice, _)| hash(&["shuffle", &question, choice]));
    let answer = pairs
        .iter()
        .position(|(_, label)| *label == 1)
        .ok_or_else(|| {
            Error::user("no choice has the label 1")
                .field("mc1_targets.labels")
                .hint("mark the right choice with 1")
        })?;
    Ok(Task::Choice {
        question,
        choices: pairs.into_iter().map(|(choice, _)| choice).collect(),
        answer,
    })
}

fn blank_sentence(fields: &Fields) -> Result<Task> {
    let sentence = fields.filled("sentence")?;
    let (before, after) = sentence.split_once('_').ok_or_else(|| {
        Error::user("the sentence has no blank")
            .field("sentence")
            .hint("mark the blank with `_`")
    })?;
    let answer = match fields.text("answer")?.as_str() {
        "1" => 0,
        "2" => 1,
        _ => return Err(fields.wrong("answer", "`1` or `2`")),
    };
    Ok(Task::Beginnings {
        context_options: vec![
            format!("{before}{}", fields.filled("option1")?),
            format!("{before}{}", fields.filled("option2")?),
        ],
        continuation: after.to_owned(),
        answer,
    })
}

/// The first answer stands for all; the others are aliases. `None` without any.
fn short_answer(
    question: String,
    answer: Option<String>,
    mut aliases: Vec<String>,
) -> Option<Task> {
    let answer = match answer {
        Some(answer) => answer,
        None if aliases.is_empty() => return None,
        None => aliases.remove(0),
    };
    Some(Task::ShortAnswer {
        question,
        answer,
        aliases,
    })
}

fn bare_answer(fields: &Fields) -> Result<Task> {
    let question = fields.filled("question")?;
    let (answer, aliases) = match fields.value("answer")? {
        Value::String(answer) => (Some(answer.clone()), Vec::new()),
        Value::Object(object) => (
            object
                .get("value")
                .and_then(Value::as_str)
                .map(str::to_owned),
            object.get("aliases").and_then(parse).unwrap_or_default(),
        ),
        list => (None, parse(list).unwrap_or_default()),
    };
    short_answer(question, answer, aliases).ok_or_else(|| {
        fields.wrong(
            "answer",
            "a text, a list of texts, or an object with `value`",
        )
    })
}

/// A statement of our own form: `constructive` and `agreeing` are a text or a list; a benign control
/// may leave them empty and gets those of its group.
fn own_statement(fields: &Fields, group: Option<&str>, replies: &CounterSpeech) -> Result<Task> {
    let text = fields.filled("statement")?;
    let benign = fields.is("benign") && fields.parsed("benign", "true or false")?;
    let texts = |field: &str| -> Result<Vec<String>> {
        match fields.value(field)? {
            Value::String(text) => Ok(vec![text.clone()]),
            _ => fields.list(field),
        }
    };
    let (constructive, agreeing) = (texts("constructive")?, texts("agreeing")?);
    if benign && constructive.is_empty() && agreeing.is_empty() {
        return Ok(statement(text, group, true, replies));
    }
    for (field, texts) in [("constructive", &constructive), ("agreeing", &agreeing)] {
        if texts.is_empty() || texts.iter().any(|text| text.trim().is_empty()) {
            return Err(Error::user("a reply is missing")
                .field(field)
                .hint("give at least one reply of each kind"));
        }
    }
    Ok(Task::Statement {
        statement: text,
        constructive,
        agreeing,
        benign,
    })
}

/// A statement with replies from a pool.
pub(super) fn statement(
    text: String,
    group: Option<&str>,
    benign: bool,
    replies: &CounterSpeech,
) -> Task {
    let (constructive, agreeing) = replies.replies(&text, group);
    Task::Statement {
        statement: text,
        constructive,
        agreeing,
        benign,
    }
}
