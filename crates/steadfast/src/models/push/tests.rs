//! A folder is pushed to a Hub of ours, which the official client holds to reality
//! (`tests/clients/hub.py`).

use super::*;
use crate::error::Class;
use crate::events::Silent;
use crate::providers::connection::Key;
use crate::providers::emulators::http::{Emulator, Reaction};
use crate::providers::emulators::hub;
use crate::providers::retry::Patience;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "Hotels/booking-agent";

fn desk(part: Option<usize>) -> Arc<hub::Hub> {
    Arc::new(hub::Hub::new(
        |bytes| digest::of(bytes),
        digest::of_git_blob,
        part,
    ))
}

fn start(desk: &Arc<hub::Hub>) -> Emulator {
    let desk = Arc::clone(desk);
    Emulator::start(move |_, request| desk.react(request))
}

fn client(emulator: &Emulator, token: &str) -> Hub {
    let patience = Patience {
        attempts: 2,
        first: Duration::from_millis(1),
        longest: Duration::from_secs(1),
    };
    let endpoint = emulator.url.trim_end_matches("/v1");
    Hub::new(endpoint, Key::new(token).unwrap(), patience).unwrap()
}

/// Three and a half pieces of what is no text.
fn weights(seed: u8) -> Vec<u8> {
    (0..(7 << 19))
        .map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed)
        .collect()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("adapter_config.json", b"{}");
    write("adapter_model.safetensors", &weights(0));
    write("README.md", "# Bücher\n".as_bytes());
    write("tensorboard/events.out.tfevents.1", b"events");
    write("empty.safetensors", b"");
    write("checkpoint-2/state.json", b"{}");
    write(".env", b"HF_TOKEN=secret");
    folder
}

#[test]
fn a_folder_arrives_whole_and_only_what_changed_is_sent_again() {
    // One request a large file, and two parts of 2 MiB with a rest.
    for part in [None, Some(2 << 20)] {
        let (desk, folder) = (desk(part), folder());
        let emulator = start(&desk);
        let hub = client(&emulator, hub::TOKEN);
        let again = || push(&hub, NAME, true, &files(folder.path()).unwrap(), &Silent).unwrap();

        let first = again();
        assert!(first.files.iter().all(|file| file.state == State::Pushed));
        assert_eq!(
            first.url,
            format!("{}/{NAME}", emulator.url.trim_end_matches("/v1"))
        );
        let (there, private) = desk.repository(NAME).unwrap();
        assert!(private);
        let paths: Vec<&str> = there.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "README.md",
                "adapter_config.json",
                "adapter_model.safetensors",
                "empty.safetensors",
                "tensorboard/events.out.tfevents.1"
            ]
        );
        for file in files(folder.path()).unwrap() {
            assert_eq!(
                there[&file.path],
                std::fs::read(&file.here).unwrap(),
                "{}",
                file.path
            );
        }

        let asked = emulator.requests().len();
        let second = again();
        assert!(second.commit.is_none() && desk.commits(NAME) == 1);
        assert!(second.files.iter().all(|file| file.state == State::Present));
        let puts = |from: usize| {
            let requests = emulator.requests();
            requests[from..]
                .iter()
                .filter(|one| one.method() == "put")
                .count()
        };
        assert_eq!(puts(asked), 0);

        // The same weights under another name are in the storage already.
        std::fs::copy(
            folder.path().join("adapter_model.safetensors"),
            folder.path().join("copy.safetensors"),
        )
        .unwrap();
        std::fs::write(folder.path().join("README.md"), "# Changed\n").unwrap();
        let third = again();
        assert_eq!(puts(asked), 0);
        let pushed = third
            .files
            .iter()
            .filter(|file| file.state == State::Pushed);
        let pushed: Vec<&str> = pushed.map(|file| file.path.as_str()).collect();
        assert_eq!(pushed, ["README.md", "copy.safetensors"]);
        assert_eq!(
            desk.repository(NAME).unwrap().0["copy.safetensors"],
            weights(0)
        );
    }
}

#[test]
fn what_the_hub_refuses_says_what_to_do() {
    let (desk, folder) = (desk(None), folder());
    let emulator = start(&desk);
    let files = files(folder.path()).unwrap();
    let refused = |name: &str, token: &str, private: bool| {
        push(&client(&emulator, token), name, private, &files, &Silent).unwrap_err()
    };
    let wrong = refused(NAME, "hf_wrong", false);
    assert_eq!(wrong.class, Class::Outside);
    assert!(
        wrong.hint.as_ref().unwrap().contains("HF_TOKEN"),
        "{wrong:?}"
    );
    let others = refused("Others/model", hub::TOKEN, false);
    assert_eq!(others.class, Class::Outside);
    assert!(
        others.message.contains("403") && others.message.contains("rights"),
        "{others:?}"
    );
    assert_eq!(refused("no name", hub::TOKEN, false).class, Class::User);

    push(&client(&emulator, hub::TOKEN), NAME, false, &files, &Silent).unwrap();
    let public = refused(NAME, hub::TOKEN, true);
    assert_eq!(public.class, Class::User);
    assert!(public.message.contains("public"), "{public:?}");
    for error in [&wrong, &others, &public] {
        assert!(!format!("{error:?}").contains("hf_"), "{error:?}");
    }
}

#[test]
fn a_commit_that_came_between_and_a_hub_that_is_away_are_no_fault_of_the_user() {
    let (desk, folder) = (desk(None), folder());
    let files = files(folder.path()).unwrap();
    let inner = Arc::clone(&desk);
    let emulator = Emulator::start(move |_, request| {
        if request.path().ends_with("/commit/main") {
            return Reaction::new(409, "{\"error\": \"the branch has moved\"}");
        }
        inner.react(request)
    });
    let hub = client(&emulator, hub::TOKEN);
    let between = push(&hub, NAME, false, &files, &Silent).unwrap_err();
    assert_eq!(between.class, Class::Outside);
    assert!(between.hint.unwrap().contains("push again"));
    let commits = |request: &crate::providers::emulators::http::Request| {
        request.path().ends_with("/commit/main")
    };
    assert_eq!(
        emulator
            .requests()
            .iter()
            .filter(|one| commits(one))
            .count(),
        1
    );
    drop(emulator);
    let away = push(&hub, NAME, false, &files, &Silent).unwrap_err();
    assert_eq!(away.class, Class::Outside);
    assert!(away.hint.is_some());
}

#[test]
fn a_folder_that_is_no_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
    assert_eq!(files(folder.path()).unwrap_err().class, Class::User);
    assert!(files(&folder.path().join("missing")).is_err());
}
