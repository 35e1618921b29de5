"""Big models with random weights: they say nothing, but weigh and compute as real ones do.

    models.py shards FOLDER     a Llama of 1 GB (f32) in five shards
    models.py seven FILE        a Llama of 7 thousand million weights in Q4_0 (GGUF, 3.9 GB)

Tokenizer and template are SmolLM2's, from the base that is always there.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy

PROGRAM = "target/release/steadfast"
BASE = Path(os.environ.get("STEADFAST_CACHE") or Path.home() / ".cache/steadfast")
BASE = BASE / "models/SmolLM2-135M-Instruct.Q4_1.gguf"
VOCABULARY = 49152


def shapes(hidden: int, inner: int, layers: int, keys: int) -> dict[str, tuple[int, ...]]:
    """Names as llama.cpp has them."""
    all_of = {"token_embd": (VOCABULARY, hidden), "output_norm": (hidden,), "output": (VOCABULARY, hidden)}
    for layer in range(layers):
        parts = {
            "attn_norm": (hidden,),
            "attn_q": (hidden, hidden),
            "attn_k": (keys, hidden),
            "attn_v": (keys, hidden),
            "attn_output": (hidden, hidden),
            "ffn_norm": (hidden,),
            "ffn_gate": (inner, hidden),
            "ffn_up": (inner, hidden),
            "ffn_down": (hidden, inner),
        }
        all_of |= {f"blk.{layer}.{name}": shape for name, shape in parts.items()}
    return {f"{name}.weight": shape for name, shape in all_of.items()}


NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def in_transformers(name: str) -> str:
    parts = name.removesuffix(".weight").split(".")
    prefix = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
    return f"{prefix}{NAMES[parts[-1]]}.weight"


def shards(folder: Path) -> None:
    """Safetensors by hand: a header of names and places, then the numbers."""
    hidden, inner, layers = 1024, 4096, 10
    with tempfile.TemporaryDirectory() as work:
        zero = Path(work) / "adapter"
        chats = Path(work) / "chats.jsonl"
        simulated = subprocess.run(
            [PROGRAM, "data", "simulate", "--count", "4"], check=True, capture_output=True
        )
        chats.write_bytes(simulated.stdout)
        tune = ["tune", "--data", str(chats), "--steps", "1", "--rank", "1", "--output", str(zero)]
        subprocess.run([PROGRAM, *tune, "--quiet"], check=True, capture_output=True)
        merged = Path(work) / "merged"
        subprocess.run([PROGRAM, "export", str(zero), "--merge", str(merged)], check=True, capture_output=True)
        folder.mkdir(parents=True)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
            (folder / name).write_bytes((merged / name).read_bytes())
        config = json.loads((merged / "config.json").read_text())
    config |= {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers}
    config |= {"num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64}
    config["tie_word_embeddings"] = False
    (folder / "config.json").write_text(json.dumps(config))
    random = numpy.random.default_rng(0)
    tensors = sorted((in_transformers(name), shape) for name, shape in shapes(hidden, inner, layers, 256).items())
    count = 5
    index = {}
    for number in range(count):
        own = tensors[number::count]
        file = f"model-{number + 1:05}-of-{count:05}.safetensors"
        header, place = {}, 0
        for name, shape in own:
            size = 4 * int(numpy.prod(shape))
            header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [place, place + size]}
            place += size
            index[name] = file
        head = json.dumps(header).encode()
        with (folder / file).open("wb") as to:
            to.write(struct.pack("<Q", len(head)) + head)
            for _, shape in own:
                numbers = random.standard_normal(shape, dtype=numpy.float32)
                to.write((numbers * 0.02 + (len(shape) == 1)).astype(numpy.float32).tobytes())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def seven(file: Path) -> None:
    import gguf

    hidden, inner, layers = 4096, 11008, 32
    base = gguf.GGUFReader(BASE)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_block_count(layers)
    writer.add_context_length(4096)
    writer.add_head_count(32)
    writer.add_head_count_kv(32)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(128)
    writer.add_rope_freq_base(1e4)
    for key, field in base.fields.items():
        if key.startswith("tokenizer."):
            kind = field.types[0]
            inner_kind = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub_type=inner_kind)
    random = numpy.random.default_rng(0)
    kind = gguf.GGMLQuantizationType.Q4_0
    tensors = shapes(hidden, inner, layers, hidden)
    for name, shape in tensors.items():
        if len(shape) == 1:
            writer.add_tensor_info(name, shape, numpy.dtype(numpy.float32), 4 * shape[0])
        else:
            bytes_of = (shape[0], shape[1] // 32 * 18)
            size = bytes_of[0] * bytes_of[1]
            writer.add_tensor_info(name, bytes_of, numpy.dtype(numpy.uint8), size, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, shape in tensors.items():
        if len(shape) == 1:
            writer.write_tensor_data(numpy.ones(shape, dtype=numpy.float32))
            continue
        # Blocks of 32: a scale, and 16 bytes of two weights each.
        blocks = random.integers(0, 256, (shape[0] * shape[1] // 32, 18), dtype=numpy.uint8)
        blocks[:, :2] = numpy.array([0.004], dtype=numpy.float16).view(numpy.uint8)
        writer.write_tensor_data(blocks.reshape(shape[0], -1))
    writer.close()


if __name__ == "__main__":
    {"shards": shards, "seven": seven}[sys.argv[1]](Path(sys.argv[2]))
