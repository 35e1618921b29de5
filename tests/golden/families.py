"""Logits, loss, adapter gradients and greedy text of a tiny model of each family, by transformers and peft.

    python tests/golden/families.py

writes `families.json` beside itself. Every model is a folder as transformers saves it; its weights are
given by a formula (`noise`) that the Rust test repeats, so that only names and shapes are stored. The
adapters are peft's own, on the modules that peft finds by their names. Made with torch 2.15,
transformers 5, peft and numpy on the CPU.
"""

import json
import pathlib
import tempfile

import numpy
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

HERE = pathlib.Path(__file__).parent
RANK, ALPHA = 4, 8
VOCABULARY = 211
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    # No token ends a text, so that all greedy texts are equally long.
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PHI = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
NEOX = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
# Name, architecture, what its config.json says beside SHAPE, target modules. Windows and caps are small, so that they matter.
CASES = [
    (
        "llama3",
        "llama",
        {
            "rope_theta": 500.0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
        LLAMA,
    ),
    (
        "llama-linear-biased",
        "llama",
        {
            "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": True,
        },
        LLAMA,
    ),
    ("mistral", "mistral", {"head_dim": 16, "sliding_window": 24, "rope_theta": 1000.0}, LLAMA),
    (
        "qwen2",
        "qwen2",
        {
            "use_sliding_window": True,
            "sliding_window": 20,
            "max_window_layers": 2,
            "rope_theta": 1000.0,
            "tie_word_embeddings": True,
        },
        LLAMA,
    ),
    ("qwen3", "qwen3", {"head_dim": 16, "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}}, LLAMA),
    ("smollm3", "smollm3", {"rope_theta": 2000.0, "no_rope_layer_interval": 2, "tie_word_embeddings": True}, LLAMA),
    ("phi3", "phi3", {"sliding_window": 33, "partial_rotary_factor": 0.75, "rope_theta": 1000.0}, PHI),
    ("olmo2", "olmo2", {"rope_theta": 1000.0}, LLAMA),
    ("gemma", "gemma", {"head_dim": 16, "rope_theta": 1000.0}, LLAMA),
    (
        "gemma2",
        "gemma2",
        {
            "head_dim": 16,
            "rope_theta": 1000.0,
            "sliding_window": 24,
            "query_pre_attn_scalar": 8,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
        LLAMA,
    ),
    (
        "gemma3",
        "gemma3_text",
        {
            "head_dim": 16,
            "rope_theta": 10000.0,
            "rope_local_base_freq": 100.0,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "sliding_window": 24,
            "sliding_window_pattern": 3,
            "query_pre_attn_scalar": 8,
        },
        LLAMA,
    ),
    (
        "yarn",
        "qwen3",
        {
            "head_dim": 16,
            "rope_theta": 1000.0,
            "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        },
        LLAMA,
    ),
    (
        "yarn-scaled",
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 500.0,
                "factor": 8.0,
                "original_max_position_embeddings": 32,
                "beta_fast": 8.0,
                "beta_slow": 0.5,
                "mscale": 0.7,
                "mscale_all_dim": 1.3,
                "truncate": False,
            }
        },
        LLAMA,
    ),
    (
        "longrope",
        "phi3",
        {
            "rope_theta": 1000.0,
            "original_max_position_embeddings": 24,
            "rope_scaling": {
                "type": "longrope",
                "short_factor": [1.0, 1.1, 1.2, 1.4],
                "long_factor": [1.0, 1.9, 3.5, 8.0],
            },
        },
        PHI,
    ),
    (
        "longrope-short",
        "phi3",
        {
            "rope_theta": 1000.0,
            "partial_rotary_factor": 0.75,
            "original_max_position_embeddings": 128,
            "rope_scaling": {
                "type": "longrope",
                "short_factor": [1.0, 1.3, 1.7],
                "long_factor": [1.0, 1.9, 3.5],
            },
        },
        PHI,
    ),
    ("gpt-neox", "gpt_neox", {"rotary_pct": 0.5, "rotary_emb_base": 1000.0}, NEOX),
    (
        "gpt-neox-sequential",
        "gpt_neox",
        {
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 1.0},
            "use_parallel_residual": False,
        },
        NEOX,
    ),
]


def noise(name, shape, size):
    """Uniform numbers in ±size, rounded to f32: SplitMix64 of the place, from a seed made of the name."""
    seed = 0
    for byte in name.encode():
        seed = (seed * 31 + byte) % 2**64
    count = int(numpy.prod(shape))
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    unit = (z >> numpy.uint64(40)).astype(numpy.float64) / 2**23 - 1
    return torch.from_numpy((size * unit).astype(numpy.float32).reshape(shape))


def weight(name, shape, gemma):
    """Matrices keep the size of what goes through them; norms are near 1 (Gemma's near 0), biases small."""
    if len(shape) == 1:
        near = 1.0 if name.endswith("weight") and not gemma else 0.0
        return near + noise(name, shape, 0.3)
    return noise(name, shape, (3 / shape[1]) ** 0.5)


def rounded(values, digits):
    return [float(f"%.{digits}g" % value) for value in values]


def tokens(seed, count):
    return ((noise(f"tokens {seed}", [count], 1.0).double() + 1) / 2 * VOCABULARY).long().tolist()


def case(name, architecture, settings, targets):
    # json knows no null that is left out: transformers would take its own default.
    config = {"model_type": architecture} | SHAPE | settings
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        fresh = AutoModelForCausalLM.from_config(CONFIG_MAPPING[architecture](**config))
        fresh.save_pretrained(folder)
        file = folder / "model.safetensors"
        weights = {
            key: weight(key, list(tensor.shape), architecture.startswith("gemma"))
            for key, tensor in sorted(load_file(file).items())
        }
        save_file(weights, file, metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(config))
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    sequences = [tokens(1, 100), tokens(2, 41)]
    starts = [30, 7]
    rows = [0, 1, 23, 24, 25, 63, 64, 99]
    with torch.no_grad():
        logits = model(torch.tensor([sequences[0]])).logits[0]
        text = model.generate(torch.tensor([sequences[1]]), max_new_tokens=40, do_sample=False)[0]
    adapted = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, lora_dropout=0.0))
    moving = {}
    for key, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            key = key.removeprefix("base_model.model.").removesuffix(".default.weight")
            with torch.no_grad():
                parameter.copy_(noise(key, list(parameter.shape), 0.1))
            moving[key] = parameter
    loss = 0.0
    for sequence, start in zip(sequences, starts):
        values = adapted(torch.tensor([sequence])).logits[0]
        loss = loss + torch.nn.functional.cross_entropy(
            values[start - 1 : -1].float(), torch.tensor(sequence[start:]), reduction="sum"
        )
    loss.backward()
    gradients = {}
    for key, parameter in moving.items():
        gradient = parameter.grad.double().flatten()
        index = torch.arange(gradient.numel(), dtype=torch.float64)
        gradients[key] = rounded(
            [
                gradient.norm().item(),
                # Two fixed projections: all elements, signs and places count.
                (gradient * torch.cos(0.61 * index + 0.3)).sum().item(),
                (gradient * torch.cos(2.3 * index + 1.1)).sum().item(),
            ],
            8,
        )
    return {
        "name": name,
        "config": config,
        "weights": {key: list(tensor.shape) for key, tensor in weights.items()},
        "sequences": sequences,
        "starts": starts,
        "logits": {row: rounded(logits[row].tolist(), 7) for row in rows},
        "greedy": text[len(sequences[1]) :].tolist(),
        "loss": loss.item(),
        "gradients": gradients,
    }


def main():
    torch.set_num_threads(2)
    cases = []
    for arguments in CASES:
        cases.append(case(*arguments))
        print(arguments[0], cases[-1]["loss"])
    golden = {"rank": RANK, "alpha": ALPHA, "cases": cases}
    (HERE / "families.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
