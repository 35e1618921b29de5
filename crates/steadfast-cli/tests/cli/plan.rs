//! `plan`: what it says follows from the recipe; its times follow from the machine.

use crate::support::Folder;
use serde_json::Value;

const RECIPE: &str = "name = \"x\"\nseeds = [0, 1]\n[[arms]]\nmethod = \"lora\"\nsteps = 10\n\
    [[arms]]\nname = \"all\"\nmethod = \"full\"\nsteps = 10\nscales = [0.5, 1.0]\n\
    [[suites]]\nname = \"general_cloze\"\nlimit = 5\n";

/// The plan of `r.toml` as JSON.
fn planned(folder: &Folder) -> Value {
    let seen = folder.run(&["plan", "r.toml", "--json", "--quiet"]);
    let document = &seen[seen.find('{').expect("a document")..=seen.rfind('}').expect("its end")];
    serde_json::from_str(document).expect("it is JSON")
}

#[test]
fn a_plan_counts_what_the_recipe_asks_for_and_changes_nothing() {
    let folder = Folder::new().with("r.toml", RECIPE);
    let plan = planned(&folder);
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

const SUITES: &str = "[[suites]]\nname = \"general_cloze\"\nlimit = 5\n";

/// One of each axis, `[[suites]]` or `[[finalists.suites]]`.
fn every_axis(table: &str, split: &str) -> String {
    ["booking", "statements", "general_choice"]
        .map(|name| format!("[[{table}]]\nname = \"{name}\"\nlimit = 1\nsplit = \"{split}\"\n"))
        .concat()
}

#[test]
fn the_recipe_for_ones_own_conversations_runs_as_it_stands() {
    let chats = "{\"messages\":[{\"role\":\"user\",\"content\":\"A room?\"},\
        {\"role\":\"assistant\",\"content\":\"For which night?\"}]}\n";
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes/own.toml");
    let folder = Folder::new().with("chats.jsonl", chats.repeat(20));
    let plan = folder.json(&["plan", recipe, "--json", "--quiet"]);
    assert_eq!(plan["arms"].as_array().map(Vec::len), Some(2), "{plan}");
}

#[test]
fn a_plan_counts_the_finalists_at_most_and_what_is_kept_as_nothing() {
    let recipe = format!(
        "name = \"x\"\nkeep = \"scores\"\n[retain]\nprompts = 4\nreply_tokens = 8\n\
         [[arms]]\nmethod = \"lora\"\nrole = \"yardstick\"\nsteps = 1\nbatch_tokens = 64\n\
         scales = [0.5, 1.0, {{ first = 0.2, last = 1.0 }}]\n\
         [[arms]]\nname = \"mlp\"\nmethod = \"lora\"\ntargets = \"mlp\"\nrole = \"yardstick\"\nsteps = 1\n\
         [[arms]]\nmethod = \"null-space\"\nrole = \"candidate\"\nsteps = 1\nbatch_tokens = 64\n\
         [data]\nconversations = 6\n{}[finalists]\nseeds = [0, 1]\ncomparators = [\"lora*0.5\"]\n{}",
        every_axis("suites", "dev"),
        every_axis("finalists.suites", "test"),
    );
    let folder = Folder::new().with("r.toml", recipe);
    let plan = planned(&folder);
    // Of four settings of the yardstick, from two arms, three go on, and one of the candidate.
    let finalists = &plan["finalists"];
    assert_eq!(finalists["yardsticks"], 4);
    assert_eq!(finalists["chosen"], 4);
    assert_eq!(finalists["comparators"], 1);
    // Seed 0 is trained before them.
    assert_eq!(finalists["trainings"], 3);
    assert_eq!(finalists["measuring"]["times"], 1 + 5 * 2);
    assert_eq!(finalists["measuring"]["items"], 3);
    assert_eq!(plan["drift"]["times"], 5);
    assert_eq!(plan["drift"]["replies"], 4);
    assert_eq!(plan["retained"]["replies"], 4);
    assert_eq!(plan["retained"]["written"], 4 * 8);
    let seconds = |value: &Value| value.as_f64().expect("seconds");
    let parts = seconds(&finalists["training_seconds"]) + seconds(&plan["measuring"]["seconds"]);
    assert!(seconds(&plan["seconds"]) > parts);
    let text = folder.run(&["plan", "r.toml", "--quiet"]);
    assert!(
        text.contains("then, of 4 settings of the yardstick and 1 of the candidate, at most 4, and 1 beside them, under 2 seeds each"),
        "{text}"
    );
}

#[test]
fn a_plan_of_arms_trained_elsewhere_says_the_price_and_no_time() {
    let recipe = format!(
        "name = \"x\"\nseeds = [0, 1]\n[data]\nconversations = 6\n\
         [[arms]]\nprovider = \"openai\"\nbase = \"gpt-4.1-nano\"\nepochs = 2\nprice = 1000\n\
         [[arms]]\nprovider = \"together\"\nbase = \"llama\"\n{SUITES}"
    );
    let folder = Folder::new().with("r.toml", recipe);
    let plan = planned(&folder);
    assert_eq!(
        (&plan["base"], &plan["seconds"]),
        (&Value::Null, &0.0.into())
    );
    let first = &plan["hosted"][0];
    let tokens = first["tokens"].as_u64().expect("tokens");
    let dollars = first["dollars"].as_f64().expect("a price");
    assert_eq!((&first["jobs"], &first["measured"]), (&2.into(), &4.into()));
    assert!(tokens > 1000 && (dollars - 2.0 * tokens as f64 / 1e3).abs() < 0.002);
    assert_eq!(plan["hosted"][1]["dollars"], Value::Null);
    let text = folder.run(&["plan", "r.toml", "--quiet"]);
    assert!(
        text.contains("elsewhere, in the services' own time")
            && text.contains("told before it begins"),
        "{text}"
    );
    assert!(!text.contains("in all"), "{text}");
}
