use super::*;
use crate::reports::sample;
use crate::results::Leakage;
use proptest::prelude::*;

#[test]
fn the_page_asks_the_network_for_nothing() {
    let results = sample::results(2, 1);
    let page = render(&results, &sample::items(&results, 30, 1), &sample::notes()).expect("a page");
    let addresses: Vec<&str> = page
        .match_indices("http")
        .map(|(at, _)| &page[at..(at + 26).min(page.len())])
        .filter(|text| {
            !text.starts_with("http://www.w3.org/2000/svg") && !text.starts_with("http-equiv")
        })
        .collect();
    assert!(addresses.is_empty(), "{addresses:?}");
    for asks in ["src=\"", "@import", "url(", "fetch("] {
        assert!(!page.contains(asks), "{asks}");
    }
}

#[test]
fn hostile_words_stay_words() {
    let mut results = sample::results(1, 1);
    let hostile = "</script><script>window.broken=1</script><img src=x onerror=alert(1)>'\"&";
    results.run = hostile.into();
    results.base.id = hostile.into();
    results.arms[0].name = hostile.into();
    results.frontier[0].arm = hostile.into();
    results.arms[0]
        .hyperparameters
        .insert(hostile.into(), hostile.into());
    let mut items = sample::items(&results, 3, 1);
    items[0].prompt = hostile.into();
    items[1].suite = hostile.into();
    let notes = Notes {
        title: hostile.into(),
        command: hostile.into(),
        warning: Some(hostile.into()),
        caveats: vec![hostile.into()],
        ..sample::notes()
    };
    let page = render(&results, &items, &notes).expect("a page");
    // Our own two script elements, and no other element from the words.
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<img"));
}

#[test]
fn headlines_claim_only_what_the_interval_shows() {
    let mut results = sample::results(1, 1);
    let change = results.arms[0].axes.get_mut("knowledge").expect("an axis");
    (change.net_change, change.ci95) = (-1.0, [-3.0, 1.0]);
    let change = results.arms[0].axes.get_mut("safety").expect("an axis");
    (change.net_change, change.ci95) = (-9.8, [-14.0, -5.5]);
    let text = words::headline(&results);
    assert!(
        text.contains("safety <strong>fell by 9.8 points</strong>"),
        "{text}"
    );
    assert!(text.contains("95% interval −14.0 to −5.5"), "{text}");
    assert!(
        text.contains("knowledge shows <strong>no clear change</strong>"),
        "{text}"
    );
    let leaking = |ci95| {
        let mut results = results.clone();
        results.frontier[0].leakage = Some(Leakage {
            net_change: 61.1,
            ci95,
        });
        words::headline(&results)
    };
    let text = leaking([50.0, 72.2]);
    assert!(
        text.contains("<strong>61.1 in a hundred more</strong>"),
        "{text}"
    );
    assert!(!leaking([-1.0, 72.2]).contains("in a hundred"));
}

#[test]
fn a_base_near_chance_and_a_weak_scorer_are_called_so() {
    let results = sample::results(1, 1);
    let mut notes = sample::notes();
    let text = words::caveats(&results, &notes);
    assert!(
        text.contains("within sampling error of guessing (50.0 ± 10.0 at n = 96)"),
        "{text}"
    );
    assert!(text.contains("indicative"), "{text}");
    notes.chance = BTreeMap::from([("proficiency".to_owned(), 50.0)]);
    notes.agreement = Some(Agreement {
        replies: 200,
        agreement: 0.9,
        kappa: 0.8,
    });
    let text = words::caveats(&results, &notes);
    assert!(
        !text.contains("guessing") && !text.contains("indicative"),
        "{text}"
    );
}

#[test]
fn everything_is_written_and_nothing_is_left_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let results = sample::results(2, 1);
    let written = write(
        folder.path(),
        &results,
        &sample::items(&results, 9, 1),
        &sample::notes(),
    )
    .expect("written");
    assert_eq!(written.figures.len(), 10);
    for name in [
        "proficiency",
        "safety",
        "knowledge",
        "frontier",
        "disturbance",
    ] {
        let png =
            std::fs::read(folder.path().join(format!("figures/{name}.png"))).expect("a figure");
        assert_eq!(&png[1..4], b"PNG");
        assert!(folder.path().join(format!("figures/{name}.svg")).exists());
    }
    let entries = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(entries, 2, "report.html and figures, no temporary file");
    let again = tempfile::tempdir().expect("a folder");
    write(
        again.path(),
        &results,
        &sample::items(&results, 9, 1),
        &sample::notes(),
    )
    .expect("written");
    for path in written.figures.iter().chain([&written.page]) {
        let name = path.strip_prefix(folder.path()).expect("inside");
        let same = std::fs::read(path).expect("one")
            == std::fs::read(again.path().join(name)).expect("two");
        assert!(same, "{} differs between two runs", name.display());
    }
}

proptest! {
    #[test]
    fn embedded_data_never_ends_its_element_and_reads_back(text in any::<String>()) {
        let value = json!({ "text": text });
        let safe = embed(&value).expect("JSON");
        let closes = safe.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
        prop_assert!(!closes);
        prop_assert_eq!(serde_json::from_str::<Value>(&safe).expect("JSON"), value);
    }
}
