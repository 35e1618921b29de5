"""Logits of tiny models under peft's adapters of every kind that is read: patterns, rsLoRA, DoRA, saved modules.

    python tests/golden/adapters.py

writes `adapters.json` beside itself: for each case the base's config and shapes, peft's own
`adapter_config.json`, the names and shapes of its tensors, and logits. All numbers come from the formula
of `families.py`. Made with torch 2.15, transformers 5, peft 0.21 and numpy on the CPU.
"""

import json
import pathlib
import tempfile

import torch
from families import HERE, LLAMA, SHAPE, noise, rounded, tokens, weight
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

PATTERNS = {
    "rank_pattern": {"q_proj": 6, "^model.layers.1.mlp.up_proj": 2, "model.layers.2.self_attn.[kv]_proj": 3},
    # The first that matches counts, not the longest.
    "alpha_pattern": {r".*\.mlp\.down_proj": 1.5, "layers.3.mlp.down_proj": 99, "self_attn.o_proj": 16},
}
# Name, what the base's config.json says beside SHAPE, what peft is asked for.
CASES = [
    ("patterns", {}, {"target_modules": LLAMA, **PATTERNS}),
    ("rslora", {}, {"target_modules": LLAMA, "use_rslora": True, **PATTERNS}),
    ("dora", {"attention_bias": True}, {"target_modules": LLAMA, "use_dora": True, **PATTERNS}),
    ("dora-rslora", {}, {"target_modules": ["k_proj", "up_proj"], "use_dora": True, "use_rslora": True}),
    ("saved", {}, {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head", "norm"]}),
    ("saved-linear", {"mlp_bias": True}, {"target_modules": ["q_proj"], "modules_to_save": ["down_proj"]}),
    (
        "saved-embedding-tied",
        {"tie_word_embeddings": True},
        {"target_modules": ["v_proj"], "modules_to_save": ["embed_tokens"]},
    ),
    (
        "saved-head-tied",
        {"tie_word_embeddings": True},
        {"target_modules": ["v_proj"], "modules_to_save": ["lm_head"]},
    ),
]


def changed(name, shape):
    """Factors are small, magnitudes near those of the weights, and what is saved as any weight."""
    if "lora_A" in name or "lora_B" in name:
        return noise(name, shape, 0.1)
    if "lora_magnitude" in name:
        return 1 + noise(name, shape, 0.3)
    return weight(name, shape, False)


def case(name, settings, asked):
    config = {"model_type": "llama"} | SHAPE | settings
    with tempfile.TemporaryDirectory() as folder:
        base, adapter = pathlib.Path(folder) / "base", pathlib.Path(folder) / "adapter"
        AutoModelForCausalLM.from_config(CONFIG_MAPPING["llama"](**config)).save_pretrained(base)
        file = base / "model.safetensors"
        weights = {key: weight(key, list(one.shape), False) for key, one in sorted(load_file(file).items())}
        save_file(weights, file, metadata={"format": "pt"})
        (base / "config.json").write_text(json.dumps(config))

        def read():
            return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")

        asked = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", **asked}
        get_peft_model(read(), LoraConfig(**asked)).save_pretrained(adapter, save_embedding_layers=False)
        file = adapter / "adapter_model.safetensors"
        tensors = {key: changed(key, list(one.shape)) for key, one in sorted(load_file(file).items())}
        save_file(tensors, file, metadata={"format": "pt"})
        model = PeftModel.from_pretrained(read(), adapter).eval()
        peft = json.loads((adapter / "adapter_config.json").read_text())
    sequence = tokens(1, 60)
    with torch.no_grad():
        logits = model(torch.tensor([sequence])).logits[0]
    return {
        "name": name,
        "config": config,
        "weights": {key: list(one.shape) for key, one in weights.items()},
        "adapter": peft | {"base_model_name_or_path": "base"},
        "tensors": {key: list(one.shape) for key, one in tensors.items()},
        "sequence": sequence,
        "logits": {row: rounded(logits[row].tolist(), 7) for row in (0, 17, 59)},
    }


def main():
    torch.set_num_threads(1)
    cases = [case(*arguments) for arguments in CASES]
    (HERE / "adapters.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    for one in cases:
        print(one["name"], sorted(one["tensors"])[:3], one["logits"][59][:3])


if __name__ == "__main__":
    main()
