//! One error type for the whole library: what is wrong, where, why, and what to do next.

use std::fmt;
use std::path::{Path, PathBuf};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose turn it is to act; the command line maps each to an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The user can fix it: a malformed file, a wrong setting (exit code 1).
    User,
    /// Something outside failed: network, provider, disk (exit code 3).
    Outside,
    /// A budget or a gate is exceeded (exit code 4).
    Budget,
    /// A bug of ours (exit code 101).
    Bug,
}

impl Class {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Outside => "outside",
            Self::Budget => "budget",
            Self::Bug => "bug",
        }
    }
}

/// Where in the user's input the mistake stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file or folder.
    pub path: Option<PathBuf>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The field, as a dotted path (`messages[2].role`).
    pub field: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match (&self.path, self.line) {
            (Some(path), Some(line)) => parts.push(format!("{}:{line}", path.display())),
            (Some(path), None) => parts.push(path.display().to_string()),
            (None, Some(line)) => parts.push(format!("line {line}")),
            (None, None) => {}
        }
        if let Some(field) = &self.field {
            parts.push(format!("field `{field}`"));
        }
        formatter.write_str(&parts.join(", "))
    }
}

/// What is wrong, where, and the next step.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Whose turn it is to act.
    pub class: Class,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where it is wrong.
    pub place: Place,
    /// What to do next.
    pub hint: Option<String>,
    /// The error beneath, if another library reported it.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Further mistakes found in the same pass, so that all are reported at once.
    pub others: Vec<Error>,
}

/// Most letters of what one part of an error says.
const LONGEST: usize = 1000;

/// An error may quote what was read, and does not repeat it at length: a damaged file may have a name or
/// a value of many megabytes.
fn clipped(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl Error {
    fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: clipped(message.into()),
            place: Place::default(),
            hint: None,
            cause: None,
            others: Vec::new(),
        }
    }

    /// A mistake that the user can fix.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(Class::User, message)
    }

    /// A failure of the network, a provider, the disk or another program.
    pub fn outside(message: impl Into<String>) -> Self {
        Self::new(Class::Outside, message)
    }

    /// A budget or gate that was exceeded.
    pub fn budget(message: impl Into<String>) -> Self {
        Self::new(Class::Budget, message)
    }

    /// A broken promise of our own code.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Class::Bug, message)
    }

    /// Work that a [`Listener`](crate::events::Listener) asked to end.
    pub fn stopped() -> Self {
        Self::user("the work was stopped before its end")
            .hint("start it again with the same settings, and it goes on from there")
    }

    /// Names the file.
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.place.path = Some(path.as_ref().to_path_buf());
        self
    }

    /// Names the line, counted from 1.
    pub fn line(mut self, line: usize) -> Self {
        self.place.line = Some(line);
        self
    }

    /// Names the field.
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.place.field = Some(clipped(field.into()));
        self
    }

    /// Says what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the error beneath.
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let cause = cause.into();
        let said = cause.to_string();
        // One more than that is what was clipped before.
        self.cause = Some(match said.chars().nth(LONGEST + 1) {
            Some(_) => clipped(said).into(),
            None => cause,
        });
        self
    }

    /// The error, and each that was found with it.
    pub fn each(&self) -> impl Iterator<Item = &Error> {
        std::iter::once(self).chain(&self.others)
    }

    /// Joins all mistakes of one pass into one error; `Ok` when there is none.
    pub fn all(mistakes: Vec<Error>) -> Result<()> {
        // One of them may itself stand for several.
        let mut mistakes = mistakes.into_iter().flat_map(|mut mistake| {
            let others = std::mem::take(&mut mistake.others);
            std::iter::once(mistake).chain(others)
        });
        let Some(mut first) = mistakes.next() else {
            return Ok(());
        };
        first.others.extend(mistakes);
        Err(first)
    }

    /// A reading or writing failure on `path`, with a first hint that the caller may know better.
    pub fn file(action: &str, path: impl AsRef<Path>, cause: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let (class, hint) = match cause.kind() {
            ErrorKind::NotFound => (Class::User, "check the path"),
            ErrorKind::IsADirectory => (Class::User, "this is a folder: name a file"),
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => (
                Class::User,
                "there is a file where a folder is wanted: name another place",
            ),
            // Its bytes are read as text nowhere else.
            ErrorKind::InvalidData => (
                Class::User,
                "the file must be UTF-8 text: it may be damaged",
            ),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                (Class::Outside, "make room on the disk")
            }
            ErrorKind::ReadOnlyFilesystem => {
                (Class::Outside, "name a place that can be written to")
            }
            ErrorKind::PermissionDenied => (Class::Outside, "check your rights to it"),
            _ => (Class::Outside, "check the disk and your rights to it"),
        };
        Self::new(class, format!("cannot {action} the file"))
            .at(path)
            .because(cause)
            .hint(hint)
    }
}

impl From<candle_core::Error> for Error {
    fn from(cause: candle_core::Error) -> Self {
        // candle has no kind of its own for it; the driver's name of the error is in the message.
        if cause.to_string().contains("CUDA_ERROR_OUT_OF_MEMORY") {
            return Self::outside("the card's memory is full")
                .because(cause)
                .hint("give fewer --batch-tokens, or train on the CPU");
        }
        Self::bug("a tensor operation failed").because(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_quotes_and_does_not_repeat() {
        let long = "ä".repeat(1 << 20);
        let error = Error::user(&long).field(&long).because(long);
        let cause = error.cause.as_ref().map(ToString::to_string);
        for part in [Some(error.message), error.place.field, cause] {
            assert_eq!(part.map(|part| part.chars().count()), Some(LONGEST + 1));
        }
    }

    #[test]
    fn a_full_card_is_no_bug() {
        let full = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        let error = Error::from(candle_core::Error::Msg(full.to_owned()));
        assert_eq!(error.class, Class::Outside);
        assert!(
            error
                .hint
                .is_some_and(|hint| hint.contains("--batch-tokens"))
        );
        let other = Error::from(candle_core::Error::Msg("shapes".to_owned()));
        assert_eq!(other.class, Class::Bug);
    }
}
