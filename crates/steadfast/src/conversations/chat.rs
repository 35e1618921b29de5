//! Chat data: JSON Lines of `{"messages":[{"role","content"}]}`.

use crate::settings::suggest;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions before the conversation.
    System,
    /// The customer.
    User,
    /// The model under training.
    Assistant,
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

/// Most mistakes reported at once: a file in another format has one on every line.
const MOST_MISTAKES: usize = 20;

const SHAPE: &str =
    r#"{"messages":[{"role":"user","content":"…"},{"role":"assistant","content":"…"}]}"#;

/// Reads chat data, one conversation a line. Blank lines are skipped; all mistakes are reported at
/// once, each with its line and field.
pub fn read(path: &Path) -> Result<Vec<Conversation>> {
    let hint = format!("give a JSON Lines file with lines such as {SHAPE}");
    if path.is_dir() {
        return Err(Error::user("this is a folder").at(path).hint(hint));
    }
    let bytes = std::fs::read(path).map_err(|cause| Error::file("read", path, cause).hint(hint))?;
    let mut conversations = Vec::new();
    let mut mistakes = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match conversation(line) {
            Ok(conversation) => conversations.push(conversation),
            Err(mistake) => mistakes.push(mistake.at(path).line(index + 1)),
        }
        if mistakes.len() == MOST_MISTAKES {
            break;
        }
    }
    Error::all(mistakes)?;
    if conversations.is_empty() {
        return Err(Error::user("the file has no conversation")
            .at(path)
            .because("every line of it is blank".to_owned())
            .hint(format!("write one a line, such as {SHAPE}")));
    }
    Ok(conversations)
}

fn conversation(line: &[u8]) -> Result<Conversation> {
    let text = std::str::from_utf8(line).map_err(|cause| {
        Error::user("the line is not UTF-8")
            .because(cause)
            .hint("save the file as UTF-8 text")
    })?;
    let value: Value = serde_json::from_str(text).map_err(|cause| {
        Error::user("the line is not JSON")
            .because(cause)
            .hint("write one whole JSON object a line, without line breaks inside it")
    })?;
    let Some(messages) = value.get("messages").and_then(Value::as_array) else {
        return Err(Error::user("the conversation has no list of messages")
            .field("messages")
            .hint(format!("write {SHAPE}")));
    };
    let messages = messages
        .iter()
        .enumerate()
        .map(|(index, value)| message(index, value))
        .collect::<Result<Vec<_>>>()?;
    let learnt = |message: &Message| message.role == Role::Assistant && message.weight != Some(0);
    if !messages.iter().any(learnt) {
        return Err(Error::user("there is nothing to learn from")
            .field("messages")
            .because("no assistant message has a weight other than 0".to_owned())
            .hint("add an assistant message, or remove the line"));
    }
    Ok(Conversation { messages })
}

fn message(index: usize, value: &Value) -> Result<Message> {
    let field = |name: &str| format!("messages[{index}].{name}");
    let role = match value.get("role").and_then(Value::as_str) {
        Some("system") if index == 0 => Role::System,
        Some("system") => {
            return Err(
                Error::user("a system message stands inside the conversation")
                    .field(field("role"))
                    .hint("only the first message may be of the role system"),
            );
        }
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some(other) => {
            return Err(Error::user(format!("no role is called `{other}`"))
                .field(field("role"))
                .hint(suggest::hint(other, &["system", "user", "assistant"])));
        }
        None => {
            return Err(Error::user("the message has no role")
                .field(field("role"))
                .hint("one of: system, user, assistant"));
        }
    };
    let Some(content) = value.get("content").and_then(Value::as_str) else {
        return Err(Error::user("the message has no content")
            .field(field("content"))
            .hint("add what was said, as a string: \"content\":\"…\""));
    };
    let weight = match value.get("weight") {
        None | Some(Value::Null) => None,
        Some(weight) => match weight.as_u64() {
            Some(weight @ (0 | 1)) if role == Role::Assistant => Some(weight as u8),
            _ => {
                return Err(Error::user(format!("the weight is {weight}"))
                    .field(field("weight"))
                    .because("a weight is 0 or 1, on an assistant message".to_owned())
                    .hint("use 0 to read the message without learning it, 1 to learn it"));
            }
        },
    };
    Ok(Message {
        role,
        content: content.to_owned(),
        weight,
    })
}
