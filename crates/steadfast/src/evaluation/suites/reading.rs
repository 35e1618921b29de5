//! Suite files: JSON Lines, the form decided by the fields.

use super::counterspeech::{CONSTRUCTIVE_TYPES, CounterSpeech, agreeing_replies, group_of};
use super::forms::{Form, Row};
use super::rows::{Fields, item};
use super::sampling::hash;
use crate::conversations::dialogues;
use crate::evaluation::items::{Item, Suite, Task};
use crate::{Error, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Mistakes shown at once; more would only repeat the first ones.
const MISTAKES: usize = 20;

/// What a file holds, without its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Its form.
    pub form: Form,
    /// Its rows.
    pub rows: usize,
}

/// Reads a suite file of any form. Rows that are not items (ToxiGen statements that are neither
/// clearly toxic nor clearly benign, counter-speech that is not constructive) are passed over.
pub fn read(name: &str, path: &Path) -> Result<Suite> {
    let rows = load(path)?;
    let form = form_of(&rows).map_err(|error| error.at(path))?;
    let axis = form.axis().ok_or_else(|| {
        Error::user(format!("each row is {}, which measures no axis", form.name()))
            .at(path)
            .hint("such rows can be counted but not scored; give a suite with questions, statements, requests or booking turns")
    })?;
    let items = match form {
        Form::Dialogue => {
            let suite = dialogues::suite(name, path)?;
            distinct_ids(&suite.items).map_err(|error| error.at(path))?;
            return Ok(suite);
        }
        Form::CrowdCounter => crowd_counter(&rows),
        _ => items(&rows, form, &counter_speech_near(path)?),
    }
    .map_err(|error| placed(error, path))?;
    if items.is_empty() {
        return Err(Error::user("no row of the file can be scored")
            .at(path)
            .hint("a statement needs a human toxicity of at least 4, or at most 1.34, and 15 characters"));
    }
    distinct_ids(&items).map_err(|error| error.at(path))?;
    Ok(Suite {
        name: name.to_owned(),
        axis,
        items,
    })
}

/// The form and the number of rows of a file, those without an axis included.
pub fn inspect(path: &Path) -> Result<Inspection> {
    let rows = load(path)?;
    Ok(Inspection {
        form: form_of(&rows).map_err(|error| placed(error, path))?,
        rows: rows.len(),
    })
}

/// The rows with their line numbers.
pub(super) fn parse(text: &str) -> Result<Vec<(usize, Row)>> {
    let mut rows = Vec::new();
    let mut mistakes = Vec::new();
    // Texts may hold U+2028 and the like, so only \n ends a line.
    for (index, line) in text.split('\n').enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(row)) => rows.push((index + 1, row)),
            Ok(_) => mistakes.push(
                Error::user("the line is not a JSON object")
                    .line(index + 1)
                    .hint("write one {…} a line"),
            ),
            Err(cause) => mistakes.push(
                Error::user("the line is not valid JSON")
                    .line(index + 1)
                    .because(cause)
                    .hint("write one complete JSON object a line"),
            ),
        }
        if mistakes.len() == MISTAKES {
            break;
        }
    }
    Error::all(mistakes)?;
    if rows.is_empty() {
        return Err(Error::user("the file has no rows").hint("write one JSON object a line"));
    }
    Ok(rows)
}

fn load(path: &Path) -> Result<Vec<(usize, Row)>> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        let missing = cause.kind() == std::io::ErrorKind::NotFound;
        Error::file("read", path, cause).hint(if missing {
            "check the path of the suite"
        } else {
            "the file must be readable UTF-8 text"
        })
    })?;
    parse(&text).map_err(|error| placed(error, path))
}

/// Names the file in an error and in those reported with it.
fn placed(error: Error, path: &Path) -> Error {
    let mut error = error.at(path);
    error.others = error
        .others
        .into_iter()
        .map(|other| other.at(path))
        .collect();
    error
}

/// The one form of all rows.
fn form_of(rows: &[(usize, Row)]) -> Result<Form> {
    let mut form = None;
    for (line, row) in rows {
        let this = Form::of(row).map_err(|error| error.line(*line))?;
        match form {
            None => form = Some(this),
            Some(first) if first == this => {}
            Some(first) => {
                return Err(Error::user(format!(
                    "the row is {}, but the file began with {}",
                    this.name(),
                    first.name()
                ))
                .line(*line)
                .hint("keep one form a file"));
            }
        }
    }
    form.ok_or_else(|| Error::user("the file has no rows").hint("write one JSON object a line"))
}

/// All rows as items of one form.
pub(super) fn items(
    rows: &[(usize, Row)],
    form: Form,
    replies: &CounterSpeech,
) -> Result<Vec<Item>> {
    let mut items = Vec::with_capacity(rows.len());
    let mut mistakes = Vec::new();
    for (line, row) in rows {
        match item(form, row, *line, replies) {
            Ok(Some(item)) => items.push(item),
            Ok(None) => {}
            Err(error) => mistakes.push(error.line(*line)),
        }
        if mistakes.len() == MISTAKES {
            break;
        }
    }
    Error::all(mistakes)?;
    Ok(items)
}

fn distinct_ids(items: &[Item]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for item in items {
        if !seen.insert(&item.id) {
            return Err(Error::user(format!("the id `{}` occurs twice", item.id))
                .field("id")
                .hint("give each row an id of its own, or none"));
        }
    }
    Ok(())
}

/// A file that decides a suite's items beside its own: CrowdCounter's replies, if that set lies next to the
/// file's folder.
pub fn read_beside(path: &Path) -> Option<PathBuf> {
    let sets = path.parent()?.parent()?;
    Some(sets.join("counterspeech_crowdcounter/train.jsonl")).filter(|near| near.is_file())
}

/// CrowdCounter's constructive replies, if the set lies next to the file's folder.
fn counter_speech_near(path: &Path) -> Result<CounterSpeech> {
    let mut pool = CounterSpeech::default();
    if let Some(near) = read_beside(path) {
        for (_, row) in load(&near)? {
            if let Some((post, reply)) = constructive_reply(&row) {
                pool.add(post, reply);
            }
        }
    }
    Ok(pool)
}

/// A CrowdCounter row's post and reply, if its type is constructive.
fn constructive_reply(row: &Row) -> Option<(&str, &str)> {
    let text = |field: &str| row.get(field).and_then(Value::as_str);
    let requested = text("requested_type")?;
    CONSTRUCTIVE_TYPES
        .contains(&requested)
        .then(|| Some((text("hate_speech")?, text("counter_speech")?)))?
}

/// One item a hateful post, with all its constructive replies; posts without any are no items.
fn crowd_counter(rows: &[(usize, Row)]) -> Result<Vec<Item>> {
    let mut posts: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    for (line, row) in rows {
        let fields = Fields(row);
        for field in ["hate_speech", "counter_speech", "requested_type"] {
            fields.filled(field).map_err(|error| error.line(*line))?;
        }
        if let Some((post, reply)) = constructive_reply(row) {
            let (_, replies) = posts.entry(post.to_owned()).or_insert((*line, Vec::new()));
            if !replies.iter().any(|known| known == reply) {
                replies.push(reply.to_owned());
            }
        }
    }
    let mut items: Vec<(usize, Item)> = posts
        .into_iter()
        .map(|(post, (line, constructive))| {
            let group = group_of(&post);
            let id = format!("post-{:016x}", hash(&["post", &post]));
            let item = Item {
                cluster: id.clone(),
                id,
                group: group.map(str::to_owned),
                task: Task::Statement {
                    statement: post,
                    constructive,
                    agreeing: agreeing_replies(group),
                    benign: false,
                },
            };
            (line, item)
        })
        .collect();
    items.sort_by_key(|(line, _)| *line);
    Ok(items.into_iter().map(|(_, item)| item).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn error(text: &str) -> Error {
        read("mine", file(text).path()).unwrap_err()
    }

    #[test]
    fn mistakes_name_line_field_and_next_step_and_come_at_once() {
        let error = error(concat!(
            r#"{"question":"q","choices":["a","b"],"answer":2}"#,
            "\n",
            r#"{"question":"q","choices":["a","b"],"answer":0}"#,
            "\n",
            r#"{"question":"","choices":["a","b"],"answer":0}"#,
            "\n",
        ));
        assert_eq!(error.place.line, Some(1));
        assert_eq!(error.place.field.as_deref(), Some("answer"));
        assert!(error.hint.is_some());
        assert_eq!(error.others.len(), 1);
        assert_eq!(error.others[0].place.line, Some(3));
        assert!(error.others[0].place.path.is_some());
    }

    #[test]
    fn broken_json_mixed_forms_and_missing_files_are_the_users() {
        assert_eq!(error("{\"question\"\n").place.line, Some(1));
        assert_eq!(error("[]\n").place.line, Some(1));
        let mixed = error(concat!(
            r#"{"prompt":"p","expect":"refuse"}"#,
            "\n",
            r#"{"context":"c","continuation":"d"}"#,
            "\n",
        ));
        assert_eq!(mixed.place.line, Some(2));
        assert!(read("mine", Path::new("/nowhere/at/all.jsonl")).is_err());
        assert!(error("").message.contains("no rows"));
    }

    #[test]
    fn intents_are_counted_but_not_scored() {
        let file = file("{\"text\":\"t\",\"intents\":[],\"slots\":{}}\n");
        let inspection = inspect(file.path()).unwrap();
        assert_eq!((inspection.form, inspection.rows), (Form::Intents, 1));
        assert!(
            read("mine", file.path())
                .unwrap_err()
                .message
                .contains("no axis")
        );
    }

    #[test]
    fn hub_forms_read_as_the_shared_ones() {
        let arc = file(
            r#"{"question":"q","choices":{"text":["x","y"],"label":["A","B"]},"answerKey":"B"}"#,
        );
        let Task::Choice { answer, .. } = &read("arc", arc.path()).unwrap().items[0].task else {
            panic!()
        };
        assert_eq!(*answer, 1);
        let winogrande =
            file(r#"{"sentence":"The _ fell.","option1":"cup","option2":"sky","answer":"1"}"#);
        let Task::Beginnings {
            context_options,
            continuation,
            answer,
        } = &read("winogrande", winogrande.path()).unwrap().items[0].task
        else {
            panic!()
        };
        assert_eq!(
            (context_options[0].as_str(), continuation.as_str(), *answer),
            ("The cup", " fell.", 0)
        );
        let nq = file(r#"{"question":"q","answer":["one","two"]}"#);
        let Task::ShortAnswer {
            answer, aliases, ..
        } = &read("nq", nq.path()).unwrap().items[0].task
        else {
            panic!()
        };
        assert_eq!((answer.as_str(), aliases.len()), ("one", 1));
    }

    #[test]
    fn an_unclear_statement_is_no_item_and_a_short_one_neither() {
        let row = |text: &str, rating: f64| {
            format!(r#"{{"text":"{text}","toxicity_human":{rating},"target_group":"women"}}"#)
                + "\n"
        };
        let long = "long enough to be a statement";
        let file = file(&(row(long, 4.0) + &row(long, 3.0) + &row("short", 5.0) + &row(long, 1.0)));
        let items = read("toxigen", file.path()).unwrap().items;
        let benign: Vec<bool> = items
            .iter()
            .map(|item| matches!(item.task, Task::Statement { benign: true, .. }))
            .collect();
        assert_eq!(benign, [false, true]);
        assert_eq!(items[0].group.as_deref(), Some("women"));
    }
}
