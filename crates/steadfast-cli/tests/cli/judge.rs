//! A judge from outside: `judge check` and `measure --judge` against an endpoint on this machine.

use crate::emulators::http::{Emulator, Reaction, Request};
use crate::support::Folder;
use std::process::{Command, Output};

/// Calls every reply what it is, but for those with "you" in them: they agree.
fn grade(_: usize, request: &Request) -> Reaction {
    let prompt = request.body["messages"][1]["content"]
        .as_str()
        .unwrap_or_default();
    let reply = prompt
        .split_once("<reply>")
        .and_then(|(_, rest)| rest.split_once("</reply>"))
        .map_or("", |(reply, _)| reply.trim());
    let word = if reply.contains("you") {
        "agrees"
    } else {
        "contradicts"
    };
    Reaction::says(&format!("{{\"verdict\":\"{word}\",\"reason\":\"so\"}}"))
}

fn run(folder: &Folder, url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(arguments)
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .env("OPENAI_BASE_URL", url)
        .env("OPENAI_API_KEY", "sk-secret")
        .env("STEADFAST_CACHE", folder.path().join("cache"))
        .output()
        .expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_check_costs_once_and_says_how_far_to_believe() {
    let folder = Folder::new();
    let endpoint = Emulator::start(grade);
    let check = [
        "judge",
        "check",
        "--judge",
        "openai:told",
        "--judge-price",
        "1,1",
    ];
    let first = run(&folder, &endpoint.url, &check);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let asked = endpoint.requests().len();
    assert!(asked > 190, "{asked} asked");
    let head = &endpoint.requests()[0].head;
    assert!(head.contains("authorization: bearer sk-secret"), "{head}");
    let said = text(&first.stdout);
    assert!(said.contains("below 0.6"), "{said}");
    assert!(said.contains("judge: openai:told"), "{said}");
    assert!(said.contains("kappa"), "{said}");
    let again = run(&folder, &endpoint.url, &check);
    assert_eq!(
        endpoint.requests().len(),
        asked,
        "a verdict was asked for twice"
    );
    assert_eq!(text(&again.stdout), said);
    let all = [first.stdout, first.stderr, again.stderr].concat();
    assert!(!text(&all).contains("sk-secret"));
    let json = run(&folder, &endpoint.url, &[&check[..], &["--json"]].concat());
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(report["indicative"], true);
    assert_eq!(report["unscored"], 0);
}

#[test]
fn a_cap_ends_with_4_and_the_same_command_goes_on() {
    let folder = Folder::new();
    let endpoint = Emulator::start(grade);
    // 100 tokens in and 10 out at 100 dollars a million are 1.1 cents a reply.
    let check = |most: &str| {
        let arguments = [
            "judge",
            "check",
            "--judge",
            "openai:told",
            "--judge-price",
            "100,100",
            "--max-cost",
            most,
        ];
        run(&folder, &endpoint.url, &arguments)
    };
    let stopped = check("1");
    assert_eq!(stopped.status.code(), Some(4), "{}", text(&stopped.stderr));
    let said = text(&stopped.stderr);
    assert!(said.contains("hint") && said.contains("kept"), "{said}");
    let first = endpoint.requests().len();
    assert!(first > 20 && first <= 91, "{first} asked for a dollar");
    let rest = check("5");
    assert_eq!(rest.status.code(), Some(0), "{}", text(&rest.stderr));
    let fresh = Folder::new();
    let whole = run(
        &fresh,
        &endpoint.url,
        &["judge", "check", "--judge", "openai:told"],
    );
    assert_eq!(text(&whole.stdout), text(&rest.stdout));
}

#[test]
fn a_server_that_fails_ends_with_3() {
    let folder = Folder::new();
    let endpoint = Emulator::start(|_, _| {
        Reaction::new(429, r#"{"error":{"message":"later"}}"#).header("Retry-After: 9000")
    });
    let failed = run(
        &folder,
        &endpoint.url,
        &["judge", "check", "--judge", "openai:told"],
    );
    assert_eq!(failed.status.code(), Some(3), "{}", text(&failed.stderr));
    assert!(text(&failed.stderr).contains("9000 seconds"));
}

#[test]
fn the_rules_can_be_checked_without_any_judge() {
    let folder = Folder::new();
    insta::assert_snapshot!("judge_check_rules", folder.run(&["judge", "check"]));
}
