use super::*;
use std::collections::BTreeMap;

#[derive(serde::Deserialize)]
struct Golden {
    bos: String,
    eos: String,
    base: String,
    templates: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    messages: Vec<Message>,
    whole: BTreeMap<String, String>,
    opened: BTreeMap<String, String>,
}

fn hello() -> Vec<Message> {
    vec![
        Message::new(super::super::Role::User, "Hi"),
        Message::new(super::super::Role::Assistant, "Hello"),
    ]
}

fn refusal(source: &str) -> String {
    let result =
        ChatTemplate::new(source, None, None).and_then(|template| template.render(&hello(), false));
    let error = result.expect_err(source);
    assert_eq!(error.class, crate::error::Class::User);
    assert!(error.hint.is_some());
    format!("{error}: {}", error.cause.as_ref().expect("a cause"))
}

#[test]
fn texts_equal_those_of_transformers() {
    let golden = include_str!("../../../../../tests/golden/templates.json");
    let mut golden: Golden = serde_json::from_str(golden).unwrap();
    golden.templates.insert("base".into(), golden.base);
    let mut compared = 0;
    for (name, source) in &golden.templates {
        let template = ChatTemplate::new(source, Some(&golden.bos), Some(&golden.eos)).unwrap();
        for case in &golden.cases {
            let (last, before) = case.messages.split_last().unwrap();
            let whole = template.render(&case.messages, false).unwrap();
            assert_eq!(whole, case.whole[name], "{name}, ending in {last:?}");
            let opened = template.render(before, true).unwrap();
            assert_eq!(opened, case.opened[name], "{name}, opened before {last:?}");
            compared += 2;
        }
    }
    assert!(compared >= 300, "{compared} texts");
}

#[test]
fn a_template_that_does_not_end_is_stopped() {
    let loops = "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}";
    assert!(refusal(loops).contains("fuel"));
    let recursion = "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}";
    assert!(refusal(recursion).contains("recursion"));
    let twice = "{% macro two(n) %}{{ two(n + 1) if n < 80 }}{{ two(n + 1) if n < 80 }}{% endmacro %}{{ two(0) }}";
    refusal(twice);
    let doubled = "{% macro again(x) %}{{ again(x + x) }}{% endmacro %}{{ again([1]) }}";
    assert!(refusal(doubled).contains("recursion"));
}

#[test]
fn a_template_that_nests_too_deeply_is_refused() {
    for depth in [1_000, 100_000] {
        refusal(&format!(
            "{{{{ {}1{} }}}}",
            "(".repeat(depth),
            ")".repeat(depth)
        ));
        refusal(&format!(
            "{}x{}",
            "{% if 1 %}".repeat(depth),
            "{% endif %}".repeat(depth)
        ));
    }
}

#[test]
fn a_template_that_prints_too_much_is_refused() {
    let long = "x".repeat(20_000);
    let refused = refusal(&format!(
        "{{% for i in range(10000) %}}{long}{{% endfor %}}"
    ));
    assert!(
        refused.contains("write") || refused.contains("bytes"),
        "{refused}"
    );
}

#[test]
fn the_day_stands_still_but_in_talk() {
    let source = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% endif %}";
    let template = ChatTemplate::new(source, None, None).unwrap();
    assert_eq!(template.render(&hello(), true).unwrap(), "26 Jul 2024");
    let today = || jiff::ZonedDateTime::now().strftime("%d %b %Y").to_string();
    let before = today();
    let said = template.render_now(&hello(), true).unwrap();
    assert!([before, today()].contains(&said), "{said}");
    let refused = ChatTemplate::new("{{ strftime_now('%!') }}", None, None).unwrap();
    assert!(refused.render(&hello(), true).is_err());
}

#[test]
fn a_template_reads_no_file() {
    refusal("{% include '/etc/hostname' %}");
    refusal("{% extends 'chat' %}");
}

#[test]
fn a_template_may_refuse_in_its_own_words() {
    assert!(
        refusal("{{ raise_exception('roles must alternate') }}").contains("roles must alternate")
    );
}

#[test]
fn generation_marks_print_nothing() {
    for (source, expected) in [
        ("a {% generation %}b{% endgeneration %} c", "a b c"),
        ("a {%- generation -%} b {%- endgeneration -%} c", "abc"),
        ("x\n  {%+ generation %}b{% endgeneration %}", "x\n  b"),
        ("x\n  {% generation %}b{% endgeneration +%}\nc", "x\nb\nc"),
    ] {
        let template = ChatTemplate::new(source, None, None).unwrap();
        assert_eq!(
            template.render(&hello(), false).unwrap(),
            expected,
            "{source:?}"
        );
    }
}

/// Templates that grow without paying fuel for it.
#[cfg(target_os = "linux")]
const GROWING: [&str; 2] = [
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns, 'a' ~ ns.x %}{% endfor %}",
];

/// It takes the process with it, so that each has one of its own: this test's program, asked for
/// `renders_what_it_is_given` alone.
#[cfg(target_os = "linux")]
#[test]
fn a_template_that_grows_unasked_is_ended() {
    for source in GROWING {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture"])
            .arg("conversations::template::tests::renders_what_it_is_given")
            .env("STEADFAST_TEMPLATE", source)
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let process = child.id().to_string();
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(crate::usage::peak_memory_of(&process).unwrap_or(0));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        println!("{source}: {peak} bytes, {said}");
        assert_eq!(ended.status.code(), Some(1), "{source}: {said}");
        assert!(said.contains("takes more memory"), "{source}: {said}");
        assert!(peak < 6 << 30, "{source}: {peak} bytes");
    }
}

#[test]
#[ignore = "a part of a_template_that_grows_unasked_is_ended"]
fn renders_what_it_is_given() {
    let source = std::env::var("STEADFAST_TEMPLATE").unwrap();
    let template = ChatTemplate::new(&source, None, None).unwrap();
    println!("{:?}", template.render(&hello(), false));
}
