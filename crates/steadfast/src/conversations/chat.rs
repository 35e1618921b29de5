//! Chat data: JSON Lines of `{"messages":[{"role","content"}]}`.
//!
//! Each line is read as JSON first and checked by hand after: a derived reader stops at the first
//! mistake and knows no field path, while a user wants every bad line at once, each with its field.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// Mistakes reported from one file; the rest is only counted.
pub(super) const REPORTED: usize = 20;

/// What a line looks like.
const FORM: &str = r#"each line is one conversation: {"messages":[{"role":"user","content":"…"},{"role":"assistant","content":"…"}]}"#;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions before the conversation.
    System,
    /// The customer.
    User,
    /// The model under training.
    Assistant,
}

impl Role {
    /// The role as data and templates write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// 0: this assistant turn is read but not learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
}

impl Message {
    /// A turn of the given role.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            weight: None,
        }
    }
}

/// One conversation, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// The turns.
    pub messages: Vec<Message>,
}

/// Reads chat data. Mistakes are those of [`read_lines`].
pub fn read(path: &Path) -> Result<Vec<Conversation>> {
    let lines = read_lines(path)?;
    Ok(lines
        .into_iter()
        .map(|(_, conversation)| conversation)
        .collect())
}

/// Reads chat data; each conversation comes with its line, counted from 1.
///
/// Lines end at `\n` alone (JSON may hold U+2028 raw); a byte-order mark, `\r\n` and blank lines at
/// the end of the file are tolerated, and so are unknown keys. All bad lines are reported at once,
/// the first 20 of them in full.
pub fn read_lines(path: &Path) -> Result<Vec<(usize, Conversation)>> {
    if path.is_dir() {
        return Err(Error::user("this is a folder, not a file of conversations")
            .at(path)
            .hint("name the .jsonl file inside it"));
    }
    let bytes = std::fs::read(path).map_err(|cause| {
        Error::file("read", path, cause).hint("check the path, and that you may read the file")
    })?;
    parse(&bytes).map_err(|mut error| {
        for other in &mut error.others {
            other.place.path = Some(path.to_path_buf());
        }
        error.at(path)
    })
}

/// As [`read_lines`], from the bytes of the file; errors name lines but no file.
pub fn parse(bytes: &[u8]) -> Result<Vec<(usize, Conversation)>> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Error::user("the file is UTF-16, not UTF-8")
            .line(1)
            .hint("save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let bytes = bytes.trim_ascii_end();
    if bytes.is_empty() {
        return Err(Error::user("the file is empty").hint(FORM));
    }
    let mut conversations = Vec::new();
    let mut mistakes = Vec::new();
    let mut unreported = 0;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        match conversation(line) {
            Ok(conversation) => conversations.push((index + 1, conversation)),
            Err(mistake) if mistakes.len() < REPORTED => mistakes.push(mistake.line(index + 1)),
            Err(_) => unreported += 1,
        }
    }
    if unreported > 0 {
        mistakes.push(
            Error::user(format!("{unreported} more lines are wrong"))
                .hint("mend the lines above first: the others are often wrong in the same way"),
        );
    }
    Error::all(mistakes)?;
    Ok(conversations)
}

fn conversation(line: &[u8]) -> Result<Conversation> {
    let text = std::str::from_utf8(line).map_err(|cause| {
        Error::user(format!(
            "byte {} of the line is not UTF-8",
            cause.valid_up_to() + 1
        ))
        .hint("save the file as UTF-8")
    })?;
    if text.trim().is_empty() {
        return Err(Error::user("the line is blank")
            .hint("remove it: only the end of the file may be blank"));
    }
    // A carriage return is white space to JSON, so lines that end in \r\n need no care.
    let value: Value = serde_json::from_str(text).map_err(|cause| {
        Error::user(format!("the line is not JSON (column {})", cause.column()))
            .because(cause)
            .hint(match text.trim_start().chars().next() {
                Some('[') => {
                    "the file looks like one JSON list: write one conversation a line (jq -c '.[]')"
                }
                Some('{') => {
                    r"one whole JSON object a line; a line break inside a text is written \n"
                }
                // A table, or plain text.
                _ => FORM,
            })
    })?;
    let object = value.as_object().ok_or_else(|| {
        Error::user(format!("the line is {}, not an object", kind(&value))).hint(FORM)
    })?;
    let absent = || Error::user("the conversation has no messages").field("messages");
    let messages = object
        .get("messages")
        .ok_or_else(|| absent().hint(other_form(object)))?
        .as_array()
        .ok_or_else(|| {
            Error::user("messages is not a list")
                .field("messages")
                .hint(FORM)
        })?;
    if messages.is_empty() {
        return Err(absent().hint(FORM));
    }
    let messages = messages
        .iter()
        .enumerate()
        .map(|(index, value)| message(index, value))
        .collect::<Result<Vec<_>>>()?;
    check_order(&messages)?;
    check_learnable(&messages)?;
    Ok(Conversation { messages })
}

/// Names the other common formats, so that their users know what to change.
fn other_form(object: &Map<String, Value>) -> &'static str {
    if object.contains_key("conversations") {
        "this looks like ShareGPT: rename conversations to messages, from to role (human: user, gpt: assistant) and value to content"
    } else if object.contains_key("turns") {
        "this looks like a public dialogue file: `tune` and `study` read it as it is, and only chat files are checked and previewed"
    } else if object.contains_key("prompt") {
        "this looks like prompt and completion: write the prompt as a user message, the completion as an assistant message"
    } else if object.contains_key("instruction") {
        "this looks like Alpaca: write the instruction as a user message, the output as an assistant message"
    } else {
        FORM
    }
}

fn message(index: usize, value: &Value) -> Result<Message> {
    let wrong = |field: &str, message: String, hint: &str| {
        Error::user(message)
            .field(format!("messages[{index}]{field}"))
            .hint(hint)
    };
    let form = r#"a message is {"role":"user","content":"…"}"#;
    let object = value.as_object().ok_or_else(|| {
        wrong(
            "",
            format!("the message is {}, not an object", kind(value)),
            form,
        )
    })?;
    let text = |name: &str| match object.get(name) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(Value::Array(_)) => Err(wrong(
            &format!(".{name}"),
            format!("the {name} is a list, not a text"),
            "only text is supported: join the parts into one text",
        )),
        Some(other) => Err(wrong(
            &format!(".{name}"),
            format!("the {name} is {}, not a text", kind(other)),
            form,
        )),
        None => Err(wrong(
            &format!(".{name}"),
            format!("the message has no {name}"),
            form,
        )),
    };
    let role = match text("role")? {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let hint = match other.to_lowercase().as_str() {
                "human" | "customer" => "write user",
                "gpt" | "bot" | "model" | "agent" => "write assistant",
                "developer" => "write system",
                "tool" | "function" => "tool calls are not supported: leave the conversation out",
                _ => "roles are system, user and assistant, in small letters",
            };
            return Err(wrong(".role", format!("there is no role `{other}`"), hint));
        }
    };
    let content = text("content")?;
    if content.trim().is_empty() {
        return Err(wrong(
            ".content",
            "the content is empty".into(),
            "write what is said, or remove the message",
        ));
    }
    let weight = match object.get("weight") {
        None | Some(Value::Null) => None,
        Some(value) => match value.as_u64() {
            Some(0) => Some(0),
            Some(1) => Some(1),
            _ => {
                return Err(wrong(
                    ".weight",
                    format!("the weight is {value}, not 0 or 1"),
                    "0: read but not learnt; 1, or no weight: learnt",
                ));
            }
        },
    };
    if weight.is_some() && role != Role::Assistant {
        return Err(wrong(
            ".weight",
            "only an assistant message can have a weight".into(),
            "remove it: what others say is never learnt",
        ));
    }
    Ok(Message {
        role,
        content: content.to_owned(),
        weight,
    })
}

/// A system message stands first or nowhere; user and assistant take turns; the assistant has the
/// last word. Who opens is left to the model's template.
fn check_order(messages: &[Message]) -> Result<()> {
    for (index, pair) in messages.windows(2).enumerate() {
        let place = format!("messages[{}].role", index + 1);
        if pair[1].role == Role::System {
            return Err(
                Error::user("a system message stands inside the conversation")
                    .field(place)
                    .hint("only the first message can be a system message"),
            );
        }
        if pair[0].role == pair[1].role {
            return Err(Error::user(format!(
                "two {} messages follow each other",
                pair[1].role.name()
            ))
            .field(place)
            .hint("join them into one message: user and assistant take turns"));
        }
    }
    if !messages
        .iter()
        .any(|message| message.role == Role::Assistant)
    {
        return Err(Error::user(
            "the conversation has no assistant message: there is nothing to learn",
        )
        .field("messages")
        .hint("add what the assistant should say, or remove the line"));
    }
    if messages
        .last()
        .is_some_and(|last| last.role != Role::Assistant)
    {
        return Err(
            Error::user("the conversation does not end with an assistant message")
                .field(format!("messages[{}].role", messages.len() - 1))
                .hint("remove the last message: nothing is learnt after it"),
        );
    }
    Ok(())
}

fn check_learnable(messages: &[Message]) -> Result<()> {
    let learnt = |message: &Message| message.role == Role::Assistant && message.weight != Some(0);
    if messages.iter().any(learnt) {
        return Ok(());
    }
    Err(
        Error::user("every assistant message has weight 0: there is nothing to learn")
            .field("messages")
            .hint("give at least one assistant message weight 1, or remove the line"),
    )
}

/// What a JSON value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str =
        r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}"#;

    #[test]
    fn good_lines_come_with_their_numbers() {
        // U+2028 in a text is no line end; unknown keys, BOM, \r\n and a blank end are tolerated.
        let strange = GOOD
            .replace("Hi", "a\u{2028}b")
            .replace("{\"messages\"", "{\"id\":7,\"messages\"");
        let file = format!("\u{feff}{GOOD}\r\n{strange}\r\n\r\n");
        let read = parse(file.as_bytes()).unwrap();
        assert_eq!(
            read.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(read[1].1.messages[0].content, "a\u{2028}b");
    }

    #[test]
    fn each_mistake_is_named_with_its_field() {
        let cases = [
            ("", "empty", None),
            ("{", "not JSON", None),
            ("[1]", "a list, not an object", None),
            ("{}", "no messages", Some("messages")),
            (r#"{"messages":[]}"#, "no messages", Some("messages")),
            (r#"{"messages":"a"}"#, "not a list", Some("messages")),
            (r#"{"messages":[1]}"#, "a number", Some("messages[0]")),
            (
                r#"{"messages":[{"content":"a"}]}"#,
                "no role",
                Some("messages[0].role"),
            ),
            (
                r#"{"messages":[{"role":"bot","content":"a"}]}"#,
                "`bot`",
                Some("messages[0].role"),
            ),
            (
                r#"{"messages":[{"role":"user"}]}"#,
                "no content",
                Some("messages[0].content"),
            ),
            (
                r#"{"messages":[{"role":"user","content":[]}]}"#,
                "a list",
                Some("messages[0].content"),
            ),
            (
                r#"{"messages":[{"role":"user","content":" "}]}"#,
                "empty",
                Some("messages[0].content"),
            ),
            (
                r#"{"messages":[{"role":"user","content":"a","weight":1}]}"#,
                "only an assistant",
                Some("messages[0].weight"),
            ),
            (
                r#"{"messages":[{"role":"assistant","content":"a","weight":0.5}]}"#,
                "0.5",
                Some("messages[0].weight"),
            ),
            (
                r#"{"messages":[{"role":"user","content":"a"}]}"#,
                "no assistant",
                Some("messages"),
            ),
            (
                r#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#,
                "follow each other",
                Some("messages[1].role"),
            ),
            (
                r#"{"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"}]}"#,
                "inside",
                Some("messages[1].role"),
            ),
            (
                r#"{"messages":[{"role":"assistant","content":"a"},{"role":"user","content":"b"}]}"#,
                "does not end",
                Some("messages[1].role"),
            ),
            (
                r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0}]}"#,
                "weight 0",
                Some("messages"),
            ),
        ];
        for (line, words, field) in cases {
            let error = parse(line.as_bytes()).expect_err(line);
            assert!(error.message.contains(words), "{line}: {}", error.message);
            assert_eq!(error.place.field.as_deref(), field, "{line}");
            assert!(error.hint.is_some(), "{line}");
        }
    }

    #[test]
    fn all_bad_lines_are_reported_up_to_twenty() {
        let error = parse([GOOD, "{", "", "7"].join("\n").as_bytes()).unwrap_err();
        let lines: Vec<_> = error.others.iter().map(|other| other.place.line).collect();
        assert_eq!((error.place.line, lines), (Some(2), vec![Some(3), Some(4)]));
        let error = parse(["{}"; 25].join("\n").as_bytes()).unwrap_err();
        assert_eq!(error.others.len(), REPORTED);
        assert!(error.others[REPORTED - 1].message.starts_with("5 more"));
    }

    #[test]
    fn bytes_that_are_no_text_are_named_by_line() {
        let mut file = GOOD.as_bytes().to_vec();
        file.extend(b"\n{\"messages\":\xff}");
        let error = parse(&file).unwrap_err();
        assert_eq!(error.place.line, Some(2));
        assert!(error.message.contains("UTF-8"));
        assert!(
            parse(b"\xff\xfe{\0")
                .unwrap_err()
                .message
                .contains("UTF-16")
        );
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            read_lines(folder.path())
                .unwrap_err()
                .message
                .contains("folder")
        );
        let path = folder.path().join("chats.jsonl");
        assert_eq!(
            read_lines(&path).unwrap_err().place.path.as_ref(),
            Some(&path)
        );
        std::fs::write(&path, "{}\n{}").unwrap();
        assert_eq!(
            read_lines(&path).unwrap_err().others[0].place.path.as_ref(),
            Some(&path)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_give_conversations_or_a_hint(bytes: Vec<u8>) {
            if let Err(error) = parse(&bytes) {
                prop_assert!(error.hint.is_some());
            }
        }

        #[test]
        fn what_is_written_is_read_back(words in proptest::collection::vec("\\PC*[a-z]\\PC*", 1..6)) {
            let messages = words
                .iter()
                .flat_map(|word| [Role::User, Role::Assistant].map(|role| Message::new(role, word.as_str())))
                .collect();
            let conversation = Conversation { messages };
            let line = serde_json::to_string(&conversation).unwrap();
            prop_assert_eq!(parse(line.as_bytes()).unwrap(), vec![(1, conversation)]);
        }
    }
}
