//! `plan`: what it says follows from the recipe; its times follow from the machine.

use crate::support::Folder;
use serde_json::Value;

const RECIPE: &str = "name = \"x\"\nseeds = [0, 1]\n[[arms]]\nmethod = \"lora\"\nsteps = 10\n\
    [[arms]]\nname = \"all\"\nmethod = \"full\"\nsteps = 10\nscales = [0.5, 1.0]\n\
    [[suites]]\nname = \"general_cloze\"\nlimit = 5\n";

#[test]
fn a_plan_counts_what_the_recipe_asks_for_and_changes_nothing() {
    let folder = Folder::new().with("r.toml", RECIPE);
    let seen = folder.run(&["plan", "r.toml", "--json", "--quiet"]);
    let document = &seen[seen.find('{').expect("a document")..=seen.rfind('}').expect("its end")];
    let plan: Value = serde_json::from_str(document).expect("it is JSON");
    assert_eq!(plan["arms"][0]["tokens"], 10 * 512);
    assert_eq!(plan["seeds"], 2);
    // The base, and under each seed one adapter and two multiples of another.
    assert_eq!(plan["measuring"]["times"], 1 + 2 * 3);
    assert_eq!(plan["measuring"]["items"], 5);
    assert_eq!(plan["measuring"]["written"], 0);
    assert_eq!(plan["base"]["parameters"], 134_479_872);
    let memory = |arm: usize| plan["arms"][arm]["memory_bytes"].as_u64().expect("bytes");
    assert!(memory(0) > 500_000_000 && memory(1) > memory(0) + 2_000_000_000);
    let text = folder.run(&["plan", "r.toml", "--quiet"]);
    assert!(
        text.contains("in all     about") && text.contains("train all"),
        "{text}"
    );
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .collect();
    assert_eq!(left.len(), 1, "a plan writes nothing");
}
