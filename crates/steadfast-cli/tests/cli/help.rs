//! What each command says about itself.

use crate::support::Folder;

#[test]
fn help() {
    let commands: [&[&str]; 25] = [
        &[],
        &["study"],
        &["tune"],
        &["measure"],
        &["compare"],
        &["gate"],
        &["chat"],
        &["export"],
        &["push"],
        &["serve"],
        &["data"],
        &["data", "check"],
        &["data", "preview"],
        &["models"],
        &["plan"],
        &["frontier"],
        &["runs"],
        &["runs", "show"],
        &["runs", "compare"],
        &["runs", "clean"],
        &["doctor"],
        &["completions"],
        &["data", "simulate"],
        &["judge"],
        &["judge", "check"],
    ];
    let folder = Folder::new();
    for command in commands {
        let arguments: Vec<_> = command.iter().copied().chain(["--help"]).collect();
        let name = ["help", &command.join("_")].join("_").replace("--", "");
        insta::assert_snapshot!(name.trim_end_matches('_'), folder.run(&arguments));
    }
}

#[test]
fn every_command_has_an_example_and_the_common_flags() {
    let folder = Folder::new();
    for command in [
        "study",
        "tune",
        "measure",
        "compare",
        "gate",
        "push",
        "chat",
        "export",
        "serve",
        "models",
        "plan",
        "runs",
        "doctor",
        "completions",
        "judge check",
    ] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = folder.run(&words);
        for part in ["Example", "--json", "--quiet", "--threads"] {
            assert!(help.contains(part), "{command} --help lacks {part}");
        }
    }
}

#[test]
fn completions_know_every_command() {
    let script = Folder::new().run(&["completions", "bash"]);
    for command in ["study", "measure", "gate", "preview"] {
        assert!(script.contains(command), "no {command} in the script");
    }
}

#[test]
fn runs_of_an_empty_folder() {
    let folder = Folder::new();
    insta::assert_snapshot!("runs_none", folder.run(&["runs"]));
    insta::assert_snapshot!("runs_none_json", folder.run(&["runs", "--json"]));
}
