//! Invented results and items: no model ever gave these numbers. They exist so that the page and
//! the figures can be tested at any number of arms and items.

use super::items::{Axis, ItemRow, ItemSide};
use super::page::{Agreement, Notes, SuiteNote};
use super::results::{
    Arm, Base, Change, Drift, FrontierPoint, LayerDisturbance, Leakage, Results, SCHEMA, Training,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;

fn uniform(random: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * f64::from(random.next_u32()) / f64::from(u32::MAX)
}

fn change(suite: &str, metric: &str, before: f64, net: f64, half: f64, n: usize) -> Change {
    let (before, net) = (round(before), round(net));
    Change {
        suite: suite.into(),
        metric: metric.into(),
        before,
        after: round(before + net),
        net_change: net,
        ci95: [round(net - half), round(net + half)],
        p: if net.abs() > half { 0.004 } else { 0.41 },
        n,
        unscored: n % 7,
        no_longer_scored: 0,
        judged: None,
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Invented results of `arms` arms.
pub fn results(arms: usize, seed: u64) -> Results {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let arms: Vec<Arm> = (0..arms)
        .map(|index| {
            let method = if index % 2 == 0 { "lora" } else { "null-space" };
            let kept = if index % 2 == 0 { 1.0 } else { 0.25 };
            let name = if index < 2 {
                method.to_owned()
            } else {
                format!("{method} seed {}", index / 2 + 1)
            };
            arm(name, method, index as u64 / 2 + 1, kept, &mut random)
        })
        .collect();
    let frontier = arms
        .iter()
        .map(|arm| FrontierPoint {
            arm: arm.name.clone(),
            gain: arm.axes["proficiency"].net_change,
            safety_loss: -arm.axes["safety"].net_change,
            knowledge_loss: -arm.axes["knowledge"].net_change,
            drift: arm.drift.kl_per_token,
            leakage: arm.drift.kl_per_token.map(|drift| Leakage {
                net_change: 90.0 * drift,
                ci95: [80.0 * drift, 95.0 * drift],
            }),
        })
        .collect();
    Results {
        schema: SCHEMA.into(),
        run: "sample-of-invented-numbers".into(),
        created: "2026-01-01T00:00:00Z".into(),
        base: Base {
            id: "invented/base-model".into(),
            revision: Some("0.0.0".into()),
            sha256: "0".repeat(64),
        },
        seeds: arms.iter().map(|arm| arm.seed).collect(),
        arms,
        frontier,
    }
}

fn arm(name: String, method: &str, seed: u64, kept: f64, random: &mut ChaCha8Rng) -> Arm {
    let mut noise = |size: f64| uniform(random, -size, size);
    let axes = BTreeMap::from([
        (
            "proficiency".to_owned(),
            change(
                "hotel_shipped",
                "step_accuracy",
                21.4,
                38.0 + noise(4.0),
                9.2,
                120,
            ),
        ),
        (
            "safety".to_owned(),
            change(
                "statements_shipped",
                "constructive_preference",
                52.5,
                -18.0 * kept + noise(2.0),
                7.4,
                96,
            ),
        ),
        (
            "knowledge".to_owned(),
            change(
                "choices_shipped+cloze_shipped+short_shipped",
                "accuracy",
                41.0,
                -4.0 * kept + noise(1.0),
                4.6,
                144,
            ),
        ),
    ]);
    let metrics = [
        ("hotel_shipped", "step_accuracy", 21.4, 38.0),
        ("hotel_shipped", "slot_faithfulness", 71.0, 12.0),
        ("hotel_shipped", "reference_nll", 2.27, -0.98),
        (
            "statements_shipped",
            "constructive_preference",
            52.5,
            -18.0 * kept,
        ),
        ("statements_shipped", "coherence", 93.0, -11.0 * kept),
        ("statements_shipped", "domain_leakage", 0.0, 27.0 * kept),
        ("refusal_shipped", "refusal", 34.0, -6.0 * kept),
        ("refusal_shipped", "over_refusal", 8.0, 3.0 * kept),
        ("choices_shipped", "accuracy", 46.0, -2.0 * kept),
        ("cloze_shipped", "accuracy", 44.0, -5.0 * kept),
        ("short_shipped", "accuracy", 33.0, -5.0 * kept),
    ]
    .into_iter()
    .map(|(suite, metric, before, net)| {
        let half = if metric.ends_with("nll") { 0.12 } else { 6.5 };
        (
            format!("{suite}/{metric}"),
            change(suite, metric, before, net, half, 48),
        )
    })
    .collect();
    let modules = [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ];
    let disturbance = (0..30)
        .flat_map(|layer| {
            modules
                .iter()
                .enumerate()
                .map(move |(place, module)| (layer, place, *module))
        })
        .map(|(layer, place, module)| LayerDisturbance {
            layer: format!("model.layers.{layer}.{module}"),
            value: 0.02 * kept * kept * (1.0 + place as f64) * (f64::from(layer) / 7.0).exp()
                / 10.0
                * (1.0 + 0.4 * noise(1.0)),
        })
        .collect();
    let hyperparameters = serde_json::json!({
        "rank": 16, "alpha": 32, "learning_rate": 0.001, "steps": 40, "targets": "all-linear"
    });
    Arm {
        name,
        provider: "local".into(),
        method: method.into(),
        seed,
        hyperparameters: hyperparameters.as_object().cloned().unwrap_or_default(),
        axes,
        metrics,
        drift: Drift {
            kl_per_token: Some(round(0.31 * kept)),
        },
        disturbance,
        training: Training {
            tokens: 40_960,
            steps: 40,
            tokens_per_second: 117.3,
            peak_memory_bytes: 2_362_232_012,
            seconds: 349.2,
        },
    }
}

/// Invented items, every third of which flips under the first arm and every seventh under the others.
pub fn items(results: &Results, count: usize, seed: u64) -> Vec<ItemRow> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let suites = ["hotel_shipped", "statements_shipped", "choices_shipped"];
    (0..count)
        .map(|index| {
            let axis = Axis::ALL[index % 3];
            let right = random.next_u32() % 2 == 0;
            let side = |right: bool, reply: String| ItemSide {
                reply: Some(reply),
                scores: BTreeMap::from([
                    (axis.metric().to_owned(), Some(f64::from(u8::from(right)))),
                    ("reference_nll".to_owned(), (index % 11 != 0).then_some(1.25)),
                ]),
                labels: BTreeMap::from([("step".to_owned(), "ask(date)".to_owned())]),
            };
            let prompt = match axis {
                Axis::Proficiency => format!("I need a room in Invented Town for {} nights.", index % 6 + 1),
                Axis::Safety => format!("An invented unkind statement number {index}."),
                Axis::Knowledge => format!("Invented question number {index}?"),
            };
            let prompt = if index == 0 {
                format!("{prompt} </script><img src=x onerror=\"window.broken=1\"> & <b>\u{2028}")
            } else {
                prompt
            };
            let after = results
                .arms
                .iter()
                .enumerate()
                .map(|(place, arm)| {
                    let flips = index / 3 % if place == 0 { 3 } else { 7 } == 0;
                    let reply = format!("Invented reply of {} to item {index}. On which date would you like to arrive?", arm.name);
                    (arm.name.clone(), side(right != flips, reply))
                })
                .collect();
            ItemRow {
                suite: suites[index % 3].into(),
                axis,
                item: format!("item-{index}"),
                prompt,
                before: side(right, format!("Invented reply of the base to item {index}, which goes on for a while without asking anything.")),
                own_before: BTreeMap::new(),
                after,
            }
        })
        .collect()
}

/// What the sample's page says about itself.
pub fn notes() -> Notes {
    Notes {
        title: "Sample report".into(),
        warning: Some(
            "Every number and reply on this page is invented, to test the page itself.".into(),
        ),
        command: "cargo run --release -p steadfast --example sample_report".into(),
        version: "0.0.0".into(),
        suites: vec![
            SuiteNote {
                name: "hotel_shipped".into(),
                axis: Axis::Proficiency,
                items: 120,
                source: "invented".into(),
            },
            SuiteNote {
                name: "statements_shipped".into(),
                axis: Axis::Safety,
                items: 96,
                source: "invented".into(),
            },
            SuiteNote {
                name: "choices_shipped".into(),
                axis: Axis::Knowledge,
                items: 48,
                source: "invented".into(),
            },
        ],
        chance: BTreeMap::from([("safety".to_owned(), 50.0)]),
        agreement: Some(Agreement {
            replies: 240,
            agreement: 0.74,
            kappa: 0.52,
        }),
        caveats: vec!["One seed an arm says nothing about how much seeds differ.".into()],
    }
}
