//! Malformed input of every kind: each message names the line or field, the cause and the next step.

use crate::support::Folder;

const GOOD: &str =
    r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello!"}]}"#;

/// Runs one command line over one file and compares all that it says.
macro_rules! mistake {
    ($name:ident, $($file:expr => $bytes:expr),+; $($argument:expr),+) => {
        #[test]
        fn $name() {
            let folder = Folder::new()$(.with($file, $bytes))+;
            let said = folder.run(&[$($argument),+]);
            assert!(said.contains("hint"), "no hint in:\n{said}");
            assert!(!said.contains("exit code: 0\n"), "no failure in:\n{said}");
            assert!(!said.contains("exit code: 101\n"), "a bug in:\n{said}");
            insta::assert_snapshot!(stringify!($name), said);
        }
    };
}

// Data files.
mistake!(data_bad_json, "d.jsonl" => format!("{GOOD}\n{{\"messages\":[\n"); "data", "check", "d.jsonl");
mistake!(data_unknown_role, "d.jsonl" => GOOD.replace("user", "customer"); "data", "check", "d.jsonl");
mistake!(data_missing_content, "d.jsonl" => GOOD.replace(",\"content\":\"Hello!\"", ""); "data", "check", "d.jsonl");
mistake!(data_empty_file, "d.jsonl" => ""; "data", "check", "d.jsonl");
mistake!(data_nothing_to_learn, "d.jsonl" => r#"{"messages":[{"role":"user","content":"Hi"}]}"#; "data", "check", "d.jsonl");
mistake!(data_weight_two, "d.jsonl" => GOOD.replace("\"Hello!\"", "\"Hello!\",\"weight\":2"); "data", "check", "d.jsonl");
mistake!(data_not_utf8, "d.jsonl" => [b"\xff\xfe{}\n".as_slice(), GOOD.as_bytes()].concat(); "data", "check", "d.jsonl");
mistake!(data_folder, "d/inner.txt" => "x"; "data", "check", "d");
mistake!(data_missing, "other.jsonl" => GOOD; "data", "check", "d.jsonl");
mistake!(data_several, "d.jsonl" => format!("{}\n{GOOD}\n[]\n", GOOD.replace("user", "usr")); "data", "check", "d.jsonl");
mistake!(data_preview_line, "d.jsonl" => GOOD.replace("content", "contents"); "data", "preview", "d.jsonl");

// Recipes.
const ARM: &str = "name = \"x\"\n[[arms]]\nmethod = \"lora\"\n";
mistake!(recipe_unknown_key, "r.toml" => format!("sedes = [1]\n{ARM}lerning_rate = 1e-3\n"); "study", "r.toml");
mistake!(recipe_wrong_type, "r.toml" => format!("{ARM}rank = \"sixteen\"\n"); "study", "r.toml");
mistake!(recipe_negative_learning_rate, "r.toml" => format!("{ARM}learning_rate = -1e-3\n"); "study", "r.toml");
mistake!(recipe_unknown_method, "r.toml" => ARM.replace("lora", "prompt-tuning"); "study", "r.toml");
mistake!(recipe_misspelt_method, "r.toml" => ARM.replace("lora", "nul_space"); "study", "r.toml");
mistake!(recipe_two_arms_of_one_name, "r.toml" => format!("{ARM}[[arms]]\nmethod = \"lora\"\n"); "study", "r.toml");
mistake!(recipe_unknown_preset, "r.toml" => format!("preset = \"huge\"\n{ARM}"); "study", "r.toml");
mistake!(recipe_scales, "r.toml" => format!("{ARM}scales = [-1, {{ first = 0.2 }}, {{ first = -0.5, last = 1, middle = 2 }}, 0.5, {{ first = 0.5, last = 0.5 }}]\n"); "study", "r.toml");
mistake!(recipe_scales_words, "r.toml" => format!("{ARM}scales = [\"half\"]\n"); "study", "r.toml");
mistake!(recipe_missing, "other.toml" => ARM; "study", "r.toml");
mistake!(recipe_syntax, "r.toml" => "name = \"x\nseeds = [1\n"; "study", "r.toml");
mistake!(recipe_not_utf8, "r.toml" => b"name = \"\xff\"\n"; "study", "r.toml");
mistake!(recipe_steps_and_epochs, "r.toml" => format!("{ARM}steps = 4\nepochs = 2\n"); "study", "r.toml");
mistake!(recipe_no_arm, "r.toml" => "name = \"x\"\n"; "study", "r.toml");
mistake!(recipe_foreign_hyperparameter, "r.toml" => format!("{ARM}rho = 0.1\n"); "study", "r.toml");
mistake!(recipe_rho_without_contrastive, "r.toml" => format!("{}rho = 0.1\n", ARM.replace("lora", "null-space")); "study", "r.toml");
mistake!(recipe_missing_data, "r.toml" => format!("{ARM}[data]\npaths = [\"nowhere.jsonl\"]\n"); "study", "r.toml");
mistake!(recipe_missing_retained, "r.toml" => format!("{ARM}[retain]\npaths = [\"nowhere.jsonl\"]\n"); "study", "r.toml");
mistake!(tune_retains_nothing, "d.jsonl" => GOOD; "tune", "--data", "d.jsonl", "--retain", "d.jsonl", "--retain", "nowhere.jsonl");
mistake!(recipe_many, "r.toml" => "name = \"a/b\"\nseeds = [1, 1]\n[retain]\nprompts = 0\n[[arms]]\nmethod = 3\ntargets = [\"q_porj\"]\nwarmup = 2\n[[suites]]\nname = \"bookng\"\nlimit = 0\n"; "study", "r.toml");
mistake!(recipe_finalists, "r.toml" => format!("name = \"x\"\nkeep = \"scores\"\n[budget]\nsafety = 1\ndomain_leakage = -1\n[finalists]\nseeds = [2, 2]\ncomparators = [\"lorra\", \"lora\", \"lora\"]\n{}", ARM.replace("name = \"x\"\n", "")); "study", "r.toml");
mistake!(recipe_splits_beside_a_budget, "r.toml" => format!("{ARM}[[suites]]\nname = \"statements\"\nsplit = \"dev\"\n[budget]\nsafety = 9\n"); "study", "r.toml");
mistake!(recipe_keys_without_effect, "r.toml" => format!("{ARM}anchor = \"replay\"\nanchor_tokens = 4\nsteps = 10000000000\n"); "study", "r.toml");
mistake!(recipe_finalists_on_the_same_items, "r.toml" => "name = \"x\"\n[[arms]]\nmethod = \"lora\"\nrole = \"yardstick\"\n[[arms]]\nmethod = \"null-space\"\nrole = \"candidate\"\n[finalists]\nseeds = [0]\n[[finalists.suites]]\nname = \"booking\"\n[[finalists.suites]]\nname = \"statements\"\n[[finalists.suites]]\nname = \"general_choice\"\n"; "plan", "r.toml", "--quiet");
mistake!(recipe_skips_all_items, "r.toml" => format!("{ARM}[[suites]]\nname = \"statements\"\nskip = 9999\n"); "plan", "r.toml", "--quiet");
mistake!(recipe_finalists_without_an_axis, "r.toml" => "name = \"x\"\n[[arms]]\nmethod = \"lora\"\nrole = \"yardstick\"\n[[arms]]\nmethod = \"null-space\"\nrole = \"candidate\"\n[finalists]\nseeds = [0]\n[[finalists.suites]]\nname = \"booking\"\n"; "study", "r.toml", "--quiet");
mistake!(frontier_of_something_else, "f.json" => "{\n\"schema\": 1}"; "frontier", "f.json");
mistake!(frontier_of_another_version, "f.json" => "{\n\"schema\": \"steadfast.frontier/2\"}"; "frontier", "f.json");
mistake!(frontier_as_two_forms, "f.json" => "{}"; "frontier", "f.json", "--markdown", "--json");
mistake!(recipe_keeps_nothing, "r.toml" => ARM; "study", "r.toml", "--kept");
mistake!(recipe_without_finalists, "r.toml" => ARM; "study", "r.toml", "--finalists");

// Exports.
mistake!(export_without_a_form, "x" => ""; "export", "adapter");
mistake!(export_two_forms, "x" => ""; "export", "adapter", "--merge", "a", "--gguf", "b");
mistake!(export_unknown_type, "x" => ""; "export", "adapter", "--gguf", "b", "--quantize", "Q3");
mistake!(export_no_part, "x" => ""; "export", "adapter", "--peft", "b", "--scale", "half");
mistake!(export_without_an_adapter, "x" => ""; "export", "adapter", "--merge", "out");

// Models.
/// A safetensors file without tensors: the length of its header, and the header.
const EMPTY: &[u8] = b"\x02\0\0\0\0\0\0\0{}";
mistake!(model_folder_without_weights, "m/config.json" => "{}"; "chat", "--model", "m", "Hi");
mistake!(model_missing_path, "x" => ""; "chat", "--model", "./nowhere.gguf", "Hi");
mistake!(model_not_a_gguf, "m.gguf" => "this is no model"; "chat", "--model", "m.gguf", "Hi");
mistake!(model_truncated_gguf, "m.gguf" => b"GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0\x01\0"; "chat", "--model", "m.gguf", "Hi");
mistake!(model_folder_without_config, "m/model.safetensors" => EMPTY; "chat", "--model", "m", "Hi");
mistake!(model_unsupported_architecture, "m/config.json" => r#"{"model_type":"mamba","architectures":["MambaForCausalLM"]}"#, "m/model.safetensors" => EMPTY; "chat", "--model", "m", "Hi");
mistake!(model_unsupported_scaling, "m/config.json" => r#"{"model_type":"phi3","hidden_size":64,"num_attention_heads":4,"num_hidden_layers":2,"rope_scaling":{"type":"dynamic","factor":2.0}}"#, "m/model.safetensors" => EMPTY; "chat", "--model", "m", "Hi");
mistake!(model_absurd_config, "m/config.json" => r#"{"model_type":"qwen2","hidden_size":-64,"num_attention_heads":4}"#, "m/model.safetensors" => EMPTY; "chat", "--model", "m", "Hi");
mistake!(adapter_missing, "x" => ""; "measure", "--adapter", "nowhere");

// Flags.
mistake!(flag_steps_and_epochs, "d.jsonl" => GOOD; "tune", "--data", "d.jsonl", "--steps", "4", "--epochs", "2");
mistake!(flag_device, "d.jsonl" => GOOD; "tune", "--data", "d.jsonl", "--device", "gpu");
#[cfg(not(feature = "cuda"))]
mistake!(flag_device_not_built, "d.jsonl" => GOOD; "tune", "--data", "d.jsonl", "--device", "cuda");
mistake!(flag_max_loss, "b.json" => "{}"; "gate", "b.json", "b.json", "--max-loss", "safety");
mistake!(flag_unknown_axis, "b.json" => "{}"; "gate", "b.json", "b.json", "--max-loss", "safty=2");
mistake!(flag_max_loss_of_a_metric, "b.json" => "{}"; "gate", "b.json", "b.json", "--max-loss", "statements/domain_leakage=much");
mistake!(flag_unknown_suite, "x" => ""; "measure", "--suite", "arc_easy");
mistake!(flag_limit_zero, "x" => ""; "measure", "--limit", "0", "--suite", "bookng");
mistake!(flag_misspelt, "x" => ""; "study", "--presset", "quick");
mistake!(flag_unknown_command, "x" => ""; "messure");
mistake!(flag_many, "x" => ""; "tune", "--data", "nowhere.jsonl", "--method", "lorra", "--learning-rate", "-1", "--steps", "0");
mistake!(flag_knobs, "d.jsonl" => GOOD; "tune", "--data", "d.jsonl", "--subspace", "contrastiv", "--penalty", "-1", "--anchor-share", "2", "--preset", "quik");
mistake!(flag_knobs_of_others, "d.jsonl" => GOOD; "tune", "--data", "d.jsonl", "--method", "milora", "--subspace", "random", "--penalty", "3");
mistake!(flag_threads, "x" => ""; "runs", "--threads", "0");

// A judge.
mistake!(judge_without_a_key, "x" => ""; "judge", "check", "--judge", "openai:gpt-4o-mini");
mistake!(judge_many, "x" => ""; "judge", "check", "--judge", "together:llama", "--max-cost", "0", "--judge-samples", "2", "--rubrics", "nowhere", "--judge-price", "1");
mistake!(judge_missing_model, "x" => ""; "judge", "check", "--judge", "./nowhere.gguf");
mistake!(judge_cost_without_a_judge, "x" => ""; "measure", "--max-cost", "1");
mistake!(judge_labels, "l.jsonl" => "{\"statement\":\"s\",\"reply\":\"r\",\"label\":\"nice\"}\n"; "judge", "check", "--labels", "l.jsonl");
mistake!(judge_rubric, "r/safety.toml" => "version = \"mine\"\nsystem = \"s\"\nprompt = \"{{ rply }}\"\n[verdicts]\nagrees = 2\n"; "judge", "check", "--judge", "openai:m", "--rubrics", "r");
mistake!(judge_recipe, "r.toml" => format!("{ARM}[judge]\nmodel = \"openai:\"\nsamples = 2\nmax_cost = -1\nprice = [1]\nmaxcost = 2\n"); "study", "r.toml");
mistake!(judge_other, "b.json" => measured("one"), "a.json" => measured("other"); "compare", "b.json", "a.json");

/// A measurement judged by this judge.
fn measured(judge: &str) -> String {
    format!(
        r#"{{"schema":"steadfast.measurement/1","model":"m","adapter":null,"judge":{{"name":"{judge}","samples":1,"rubrics":{{}},"agreement":null}},"metrics":{{}},"samples":[]}}"#
    )
}

// Arms that are trained elsewhere.
const HOSTED: &str = "name = \"x\"\n[[arms]]\nprovider = \"openai\"\nbase = \"gpt-4.1-nano\"\n";
mistake!(hosted_without_a_key, "r.toml" => HOSTED; "study", "r.toml");
mistake!(hosted_unknown_provider, "r.toml" => HOSTED.replace("openai", "anthropic"); "study", "r.toml");
mistake!(hosted_many, "r.toml" => "name = \"x\"\n[[arms]]\nprovider = \"together\"\nlearning_rate_multiplier = 2\nsteps = 4\nrank = 0\nsuffix = \"a very long suffix that does not fit\"\nkey_file = \"nowhere\"\nmax_cost = -1\n[budget]\nsafety = 1\n"; "study", "r.toml");
mistake!(hosted_own_judge, "r.toml" => format!("{HOSTED}[judge]\nmodel = \"openai:gpt-4.1-nano\"\n"); "study", "r.toml");
mistake!(recipe_keep_and_judge, "r.toml" => format!("keep = \"scores\"\n{ARM}[judge]\nmodel = \"openai:m\"\n"); "study", "r.toml");
mistake!(measure_hosted_without_a_key, "x" => ""; "measure", "--model", "together:llama");
mistake!(measure_hosted_with_an_adapter, "a/adapter_config.json" => "{}"; "measure", "--model", "openai:", "--adapter", "a");
mistake!(cancel_without_a_job, "arm/x" => ""; "runs", "cancel", "arm");

// Measurement files.
mistake!(measurement_wrong_schema, "b.json" => r#"{"schema":"steadfast.results/1"}"#; "compare", "b.json", "b.json");
mistake!(measurement_not_json, "b.json" => "before\n"; "compare", "b.json", "b.json");
mistake!(measurement_missing, "b.json" => "{}"; "gate", "a.json", "b.json", "--max-loss", "safety=2");
