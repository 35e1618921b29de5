//! Data, recipes, and what runs and servers write down.

use super::{in_folder, named, unknown};
use crate::Result;
use crate::conversations::{chat, dialogues};
use crate::evaluation::comparison::compare;
use crate::evaluation::judge::cache::{Cache, Key};
use crate::evaluation::measurement::Measurement;
use crate::evaluation::suites;
use crate::providers::record::Record;
use crate::results::Results;
use crate::runs::kept::Kept;
use crate::runs::manifest::Manifest;
use crate::server::keys::Keys;
use crate::server::{files, jobs};
use crate::settings::{Overrides, recipe};

/// Conversations to learn from.
pub fn chats(bytes: &[u8]) -> Result<()> {
    in_folder(&[("dialogues.json", bytes)], |folder| {
        // Whatever it holds, it is read as the other form too.
        let _ = dialogues::conversations(&folder.join("dialogues.json"));
        chat::parse(bytes).map(drop)
    })
}

/// Items of any form.
pub fn suite(bytes: &[u8]) -> Result<()> {
    in_folder(&[("suite.jsonl", bytes)], |folder| {
        let path = folder.join("suite.jsonl");
        let inspected = suites::inspect(&path).map(drop);
        suites::read("mine", &path).map(drop).and(inspected)
    })
}

/// What a study is to do.
pub fn recipe(bytes: &[u8]) -> Result<()> {
    in_folder(&[("study.toml", bytes)], |folder| {
        recipe::read(Some(&folder.join("study.toml")), &Overrides::default()).map(drop)
    })
}

/// A file that a run or a server has written, and somebody may have changed.
pub fn record(bytes: &[u8]) -> Result<()> {
    let (name, content) = named(bytes)?;
    // A name of the input is no path.
    if name.contains("..") || name.starts_with('/') || !name.contains('.') {
        return unknown(name);
    }
    let text = std::str::from_utf8(content).unwrap_or_default();
    match name {
        "results.json" => Results::parse(text).map(drop),
        "measurement.json" => {
            let measured = Measurement::parse(text)?;
            compare(&measured, &measured).map(drop)
        }
        "scores.jsonl.gz" => in_folder(&[("test/a.jsonl.gz", content)], |folder| {
            Kept::new(folder).find("test", "a", "key").map(drop)
        }),
        "manifest.json" => in_folder(&[(name, content)], |folder| {
            Manifest::read(folder).map(drop)
        }),
        "job.json" => in_folder(&[(name, content)], |folder| Record::read(folder).map(drop)),
        "ftjob-00/job.json" | "ftjob-00/events.jsonl" => in_folder(&[(name, content)], |folder| {
            jobs::read_all(folder).map(drop)
        }),
        "file-00.json" => in_folder(&[(name, content)], |folder| {
            files::read_all(folder).map(drop)
        }),
        "keys.txt" => in_folder(&[(name, content)], |folder| {
            Keys::read(&folder.join(name)).map(drop)
        }),
        "judge.sqlite" => in_folder(&[(name, content)], |folder| {
            let key = Key {
                judge: "j".into(),
                rubric: "r".into(),
                item: "i".into(),
                reply: "y".into(),
                sample: 0,
            };
            Cache::open(&folder.join(name))?.get(&key).map(drop)
        }),
        _ => unknown(name),
    }
}
