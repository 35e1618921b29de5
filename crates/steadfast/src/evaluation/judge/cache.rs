//! Every verdict that was ever paid for, in one SQLite file: a verdict costs once.
//!
//! Kept is the judge's answer as it came, so that what a better reader makes of it costs nothing. The
//! key holds all that an answer depends on, by content: judge, rubric, item, reply and sample. Each
//! answer is its own transaction, so whatever ends the process, the answers that came are kept.

use super::Answer;
use crate::models::resolve::cache_folder;
use crate::{Error, Result};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Of the tables; a newer file is not touched.
const VERSION: i64 = 1;

/// What an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// [`super::Judge::identity`].
    pub judge: String,
    /// SHA-256 of the rubric.
    pub rubric: String,
    /// SHA-256 of the rubric's fields but for the reply.
    pub item: String,
    /// SHA-256 of the reply.
    pub reply: String,
    /// Which of several samples.
    pub sample: u32,
}

/// The file of kept answers.
#[derive(Debug)]
pub struct Cache {
    connection: Connection,
    path: PathBuf,
}

/// Where answers are kept if nothing else is asked for.
///
/// # Errors
/// Where there is no cache folder.
pub fn default_path() -> Result<PathBuf> {
    Ok(cache_folder()?.join("judge.sqlite"))
}

impl Cache {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// When the file is no database, is of a newer version, or cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder)
                .map_err(|cause| Error::file("create", folder, cause))?;
        }
        let failed = |cause| failure("open", path, cause);
        let connection = Connection::open(path).map_err(failed)?;
        // Another process may be writing its own verdict.
        connection
            .busy_timeout(Duration::from_secs(20))
            .map_err(failed)?;
        let version: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(failed)?;
        if version > VERSION {
            return Err(Error::user(format!(
                "the kept verdicts are of version {version}, newer than this steadfast reads"
            ))
            .at(path)
            .hint("update steadfast, or move the file away to start anew"));
        }
        // A write-ahead log lets a reader and a writer be at it together; NORMAL may lose the last
        // answers at a power cut, but never the file.
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = NORMAL;
                 BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS answers (
                     judge TEXT NOT NULL, rubric TEXT NOT NULL, item TEXT NOT NULL,
                     reply TEXT NOT NULL, sample INTEGER NOT NULL,
                     answer TEXT NOT NULL, input_tokens INTEGER NOT NULL,
                     output_tokens INTEGER NOT NULL, cost REAL NOT NULL, at TEXT NOT NULL,
                     PRIMARY KEY (judge, rubric, item, reply, sample)
                 ) WITHOUT ROWID;
                 PRAGMA user_version = 1;
                 COMMIT;",
            )
            .map_err(failed)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    /// The kept answer, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn get(&self, key: &Key) -> Result<Option<Answer>> {
        self.connection
            .query_row(
                "SELECT answer, input_tokens, output_tokens, cost FROM answers
                 WHERE judge = ?1 AND rubric = ?2 AND item = ?3 AND reply = ?4 AND sample = ?5",
                params![key.judge, key.rubric, key.item, key.reply, key.sample],
                |row| {
                    let count = |index| {
                        let count: i64 = row.get(index)?;
                        Ok::<u64, rusqlite::Error>(count.max(0) as u64)
                    };
                    Ok(Answer {
                        text: row.get(0)?,
                        input_tokens: count(1)?,
                        output_tokens: count(2)?,
                        cost: row.get(3)?,
                    })
                },
            )
            .optional()
            .map_err(|cause| failure("read", &self.path, cause))
    }

    /// Keeps an answer. One that another process kept meanwhile stands.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&self, key: &Key, answer: &Answer) -> Result<()> {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.connection
            .execute(
                "INSERT OR IGNORE INTO answers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    key.judge,
                    key.rubric,
                    key.item,
                    key.reply,
                    key.sample,
                    answer.text,
                    count(answer.input_tokens),
                    count(answer.output_tokens),
                    answer.cost,
                    jiff::Timestamp::now().to_string(),
                ],
            )
            .map_err(|cause| failure("write", &self.path, cause))?;
        Ok(())
    }
}

fn failure(action: &str, path: &Path, cause: rusqlite::Error) -> Error {
    let broken = matches!(
        cause.sqlite_error_code(),
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt)
    );
    let (error, hint) = if broken {
        (
            Error::user("the file of kept verdicts is broken, or is no such file"),
            "move it away to start anew: its verdicts will be asked for again",
        )
    } else {
        (
            Error::outside(format!("cannot {action} the file of kept verdicts")),
            "check the room on the disk and your rights to the folder",
        )
    };
    error.at(path).because(cause).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    fn key(reply: &str, sample: u32) -> Key {
        Key {
            judge: "j".into(),
            rubric: "r".into(),
            item: "i".into(),
            reply: reply.into(),
            sample,
        }
    }

    fn answer(text: &str) -> Answer {
        Answer {
            text: text.into(),
            input_tokens: 3,
            output_tokens: 2,
            cost: 0.5,
        }
    }

    #[test]
    fn what_was_put_is_found_again_by_its_whole_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/judge.sqlite");
        let cache = Cache::open(&path).unwrap();
        cache.put(&key("a", 0), &answer("one\0 ä")).unwrap();
        // The first answer stands.
        cache.put(&key("a", 0), &answer("two")).unwrap();
        let again = Cache::open(&path).unwrap();
        assert_eq!(again.get(&key("a", 0)).unwrap(), Some(answer("one\0 ä")));
        assert_eq!(again.get(&key("a", 1)).unwrap(), None);
        assert_eq!(again.get(&key("b", 0)).unwrap(), None);
        let other = Key {
            rubric: "changed".into(),
            ..key("a", 0)
        };
        assert_eq!(again.get(&other).unwrap(), None);
    }

    #[test]
    fn a_strange_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judge.sqlite");
        let strange = "this is no database".repeat(100);
        std::fs::write(&path, &strange).unwrap();
        let error = Cache::open(&path).unwrap_err();
        assert_eq!(error.class, Class::User);
        assert!(error.hint.is_some());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), strange);

        let newer = folder.path().join("newer.sqlite");
        Connection::open(&newer)
            .and_then(|file| file.execute_batch("PRAGMA user_version = 9"))
            .unwrap();
        let error = Cache::open(&newer).unwrap_err();
        assert!(error.message.contains("version 9"), "{error}");
    }
}
