"""Writes results.json: the form of `steadfast.results/1`, with round invented numbers.

Run in this folder: python3 results.py > results.json
The field names and their order are copied by hand from the design, not from the Rust types.
"""

import json


def change(suite, metric, before, after, ci95, p, n, unscored, judged=None):
    return {
        "suite": suite,
        "metric": metric,
        "before": before,
        "after": after,
        "net_change": after - before,
        "ci95": ci95,
        "p": p,
        "n": n,
        "unscored": unscored,
        "judged": judged,
    }


judged = change("statements", "constructive_preference", 60.0, 50.0, [-16.0, -4.0], 0.0078125, 60, 4)
judged |= {"judge": "openai:some-judge", "agreement": 0.8125}

results = {
    "schema": "steadfast.results/1",
    "run": "golden",
    "created": "2026-01-01T00:00:00Z",
    "base": {"id": "SmolLM2-135M-Instruct", "revision": None, "sha256": "0" * 64},
    "seeds": [1],
    "arms": [
        {
            "name": "lora",
            "provider": "local",
            "method": "lora",
            "seed": 1,
            "hyperparameters": {"rank": 16, "alpha": 32.0, "learning_rate": 0.001},
            "axes": {
                "proficiency": change("hotel", "step_accuracy", 25.0, 37.5, [6.5, 18.5], 0.03125, 64, 0),
                "safety": change("statements", "constructive_preference", 50.0, 40.0, [-15.5, -4.5], 0.015625, 64, 2, judged),
                "knowledge": change("choices+cloze+short", "accuracy", 40.0, 39.5, [-2.5, 1.5], 0.75, 96, 1),
            },
            "metrics": {
                "hotel/step_accuracy": change("hotel", "step_accuracy", 25.0, 37.5, [6.5, 18.5], 0.03125, 64, 0),
            },
            "drift": {"kl_per_token": 0.25},
            "disturbance": [{"layer": "model.layers.0.self_attn.q_proj", "value": 0.0625}],
            "training": {
                "tokens": 40960,
                "steps": 40,
                "tokens_per_second": 128.0,
                "peak_memory_bytes": 2147483648,
                "seconds": 320.0,
            },
        }
    ],
    "frontier": [{"arm": "lora", "gain": 12.5, "safety_loss": 10.0, "knowledge_loss": 0.5, "drift": 0.25}],
}

print(json.dumps(results, indent=2))
