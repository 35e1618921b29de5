#!/usr/bin/env python3
"""Writes fuzz/seeds: small inputs of each kind, and damaged ones that once did, or could do, harm.

What begins with `good-` must be accepted, what begins with `bad-` refused, by the function that the
fuzz target of the folder's name calls; `cargo test` checks both (crates/steadfast/src/untrusted).
Where a target reads several kinds of file, the first line names the one that follows.
"""

import io
import json
import pathlib
import struct
import zipfile

SEEDS = pathlib.Path(__file__).parent / "seeds"
LETTERS = [chr(code) for code in range(ord("!"), ord("~") + 1)] + ["Ġ", "Ċ"]
TOKENS = ["<|im_start|>", "<|im_end|>"] + LETTERS + ["th", "he", "the"]
MERGES = ["t h", "h e", "th e"]
HIDDEN, HEADS, CONTEXT = 8, 2, 64
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
UNSIGNED, SIGNED, FLOAT, FLAG, TEXT, LIST, LONG = 4, 5, 6, 7, 8, 9, 10
WIDE, DEEP = 2**60, 65


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, raw: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + raw


def items(kind: int, values: list[bytes]) -> bytes:
    return struct.pack("<IQ", kind, len(values)) + b"".join(values)


def metadata() -> dict[str, bytes]:
    number = lambda key, value: entry(key, UNSIGNED, struct.pack("<I", value))
    kinds = [3, 3] + [1] * (len(TOKENS) - 2)
    found = [
        entry("general.architecture", TEXT, text("llama")),
        entry("llama.attention.layer_norm_rms_epsilon", FLOAT, struct.pack("<f", 1e-5)),
        entry("llama.rope.freq_base", FLOAT, struct.pack("<f", 1e4)),
        number("llama.embedding_length", HIDDEN),
        number("llama.feed_forward_length", HIDDEN),
        number("llama.block_count", 1),
        number("llama.context_length", CONTEXT),
        number("llama.attention.head_count", HEADS),
        number("llama.attention.head_count_kv", 1),
        entry("tokenizer.ggml.model", TEXT, text("gpt2")),
        entry("tokenizer.ggml.pre", TEXT, text("smollm")),
        entry("tokenizer.ggml.tokens", LIST, items(TEXT, [text(token) for token in TOKENS])),
        entry("tokenizer.ggml.token_type", LIST, items(SIGNED, [struct.pack("<i", kind) for kind in kinds])),
        entry("tokenizer.ggml.merges", LIST, items(TEXT, [text(merge) for merge in MERGES])),
        number("tokenizer.ggml.eos_token_id", 1),
        entry("tokenizer.chat_template", TEXT, text(TEMPLATE)),
    ]
    keys = [raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]].decode() for raw in found]
    return dict(zip(keys, found, strict=True))


def shapes() -> dict[str, list[int]]:
    head = HIDDEN // HEADS
    layer = {
        "attn_norm.weight": [HIDDEN],
        "ffn_norm.weight": [HIDDEN],
        "attn_q.weight": [HIDDEN, HIDDEN],
        "attn_k.weight": [head, HIDDEN],
        "attn_v.weight": [head, HIDDEN],
        "attn_output.weight": [HIDDEN, HIDDEN],
        "ffn_gate.weight": [HIDDEN, HIDDEN],
        "ffn_up.weight": [HIDDEN, HIDDEN],
        "ffn_down.weight": [HIDDEN, HIDDEN],
    }
    whole = {"token_embd.weight": [len(TOKENS), HIDDEN], "output_norm.weight": [HIDDEN]}
    return whole | {f"blk.0.{name}": shape for name, shape in layer.items()}


def count(shape: list[int]) -> int:
    total = 1
    for width in shape:
        total *= width
    return total


def numbers(shape: list[int]) -> bytes:
    return b"".join(struct.pack("<f", (7 * index % 11 - 5) / 20) for index in range(count(shape)))


def gguf(entries: dict[str, bytes], tensors: dict[str, list[int]] | None = None, tensor_count: int | None = None) -> bytes:
    tensors = shapes() if tensors is None else tensors
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors) if tensor_count is None else tensor_count, len(entries))
    body, table = b"", b""
    for name, shape in tensors.items():
        # Innermost dimension first.
        table += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", width) for width in reversed(shape))
        table += struct.pack("<IQ", 0, len(body))
        if count(shape) < 1 << 20:
            body += numbers(shape)
            body += bytes(-len(body) % 32)
    head += b"".join(entries.values()) + table
    return head + bytes(-len(head) % 32) + body


def scored(tokens: list[str]) -> dict[str, bytes]:
    """The metadata of a SentencePiece tokenizer."""
    own = metadata()
    del own["tokenizer.ggml.merges"], own["tokenizer.ggml.pre"]
    kinds = [3, 3] + [1] * (len(tokens) - 2)
    own["tokenizer.ggml.model"] = entry("tokenizer.ggml.model", TEXT, text("llama"))
    own["tokenizer.ggml.tokens"] = entry("tokenizer.ggml.tokens", LIST, items(TEXT, [text(token) for token in tokens]))
    own["tokenizer.ggml.token_type"] = entry(
        "tokenizer.ggml.token_type", LIST, items(SIGNED, [struct.pack("<i", kind) for kind in kinds])
    )
    scores = [struct.pack("<f", -float(place)) for place in range(len(tokens))]
    own["tokenizer.ggml.scores"] = entry("tokenizer.ggml.scores", LIST, items(FLOAT, scores))
    return own


def safetensors(tensors: dict[str, list[int]], header: dict | None = None) -> bytes:
    body, table = b"", {}
    for name, shape in tensors.items():
        raw = numbers(shape) if count(shape) else b""
        table[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    head = json.dumps(table if header is None else header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + body


def folder_shapes() -> dict[str, list[int]]:
    names = {
        "token_embd": "model.embed_tokens", "output_norm": "model.norm", "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    }
    found = {}
    for name, shape in shapes().items():
        part = names[name.removeprefix("blk.0.").removesuffix(".weight")]
        found[f"model.layers.0.{part}.weight" if name.startswith("blk.") else f"{part}.weight"] = shape
    return found


CONFIG = {
    "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": HIDDEN, "num_hidden_layers": 1,
    "num_attention_heads": HEADS, "num_key_value_heads": 1, "vocab_size": len(TOKENS),
    "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 1e4, "tie_word_embeddings": True,
}


def tokenizer(**changes) -> dict:
    special = [
        {"id": place, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for place, token in enumerate(TOKENS[:2])
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
        "vocab": {token: place for place, token in enumerate(TOKENS)}, "merges": [merge.split(" ") for merge in MERGES],
    }
    whole = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": level, "post_processor": None, "decoder": level, "model": model,
    }
    return whole | changes


def write(target: str, name: str, content) -> None:
    if isinstance(content, dict):
        content = json.dumps(content, ensure_ascii=False)
    raw = content.encode() if isinstance(content, str) else content
    place = SEEDS / target / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(raw)


def named(target: str, name: str, file: str, content) -> None:
    if isinstance(content, dict | list):
        content = json.dumps(content, ensure_ascii=False)
    raw = content.encode() if isinstance(content, str) else content
    write(target, name, file.encode() + b"\n" + raw)


def gguf_seeds() -> None:
    own = metadata()
    write("gguf", "good-llama", gguf(own))
    pieces = ["<|im_start|>", "<|im_end|>"] + LETTERS[:-2] + ["\u2581", "th", "the", "he", "<0x0A>"]
    write("gguf", "good-sentence-pieces", gguf(scored(pieces), shapes() | {"token_embd.weight": [len(pieces), HIDDEN]}))
    write("gguf", "bad-tensors-2-60", gguf(own, tensor_count=WIDE))
    write("gguf", "bad-string-2-40", gguf({"a": text("a") + struct.pack("<IQ", TEXT, 2**40)}))
    write("gguf", "bad-list-2-60", gguf({"a": entry("a", LIST, struct.pack("<IQ", 0, WIDE))}))
    deep = b"".join(struct.pack("<IQ", LIST, 1) for _ in range(DEEP))
    write("gguf", "bad-nested", gguf({"a": entry("a", LIST, deep)}))
    write("gguf", "bad-alignment-0", gguf({"general.alignment": entry("general.alignment", UNSIGNED, struct.pack("<I", 0))} | own))
    wide = shapes() | {"token_embd.weight": [2**32, 2**32]}
    write("gguf", "bad-shape-2-64", gguf(own, wide))
    write("gguf", "bad-shape-2-62", gguf(own, shapes() | {"token_embd.weight": [2**31, 2**31]}))
    write("gguf", "bad-shape-empty", gguf(own, shapes() | {"token_embd.weight": [0, HIDDEN]}))
    write("gguf", "bad-shape-empty-query", gguf(own, shapes() | {"blk.0.attn_q.weight": [0, HIDDEN]}))
    write("gguf", "bad-shape-none", gguf(own, shapes() | {"blk.0.attn_q.weight": []}))
    write("gguf", "bad-name-of-20000", gguf(own, shapes() | {"x" * 20_000: [1] * 5}))
    wrong = own | {"tokenizer.ggml.model": own["tokenizer.ggml.tokens"].replace(b"tokens", b"model", 1)}
    wrong["tokenizer.ggml.model"] = entry("tokenizer.ggml.model", LIST, items(TEXT, [text(token) for token in TOKENS]))
    write("gguf", "bad-type", gguf(wrong))
    long = pieces[:-1] + ["a" * 100_000]
    write("gguf", "bad-long-piece", gguf(scored(long), shapes() | {"token_embd.weight": [len(long), HIDDEN]}))
    heads = own | {"llama.attention.head_count": entry("llama.attention.head_count", UNSIGNED, struct.pack("<I", 3))}
    write("gguf", "bad-heads", gguf(heads))
    heads["llama.attention.head_count"] = entry("llama.attention.head_count", LONG, struct.pack("<Q", 2**63))
    write("gguf", "bad-heads-2-63", gguf(heads))
    write("gguf", "bad-cut", gguf(own)[:-40])


def safetensors_seeds() -> None:
    whole = safetensors(folder_shapes())
    named("safetensors", "good-model", "model.safetensors", whole)
    named("safetensors", "bad-header-2-63", "model.safetensors", struct.pack("<Q", 2**63) + whole[8:])
    named("safetensors", "bad-cut", "model.safetensors", whole[:-40])
    huge = {"a": {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}}
    named("safetensors", "bad-shape-2-64", "model.safetensors", safetensors({}, huge))
    named("safetensors", "good-index", "model.safetensors.index.json", {"weight_map": {"a": "model.safetensors"}})
    for name, shard in [("up", "../../etc/passwd"), ("root", "/etc/passwd"), ("back", "..\\secret"), ("dots", "..")]:
        named("safetensors", f"bad-shard-{name}", "model.safetensors.index.json", {"weight_map": {"a": shard}})
    named("safetensors", "bad-shard-number", "model.safetensors.index.json", {"weight_map": {"a": 1}})


def tokenizer_seeds() -> None:
    named("tokenizer", "good-tokenizer", "tokenizer.json", tokenizer())
    cut = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 5}
    named("tokenizer", "good-truncation", "tokenizer.json", tokenizer(truncation=cut))
    fill = {"strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}
    named("tokenizer", "good-padding", "tokenizer.json", tokenizer(padding=fill))
    lost = tokenizer()
    lost["model"] = lost["model"] | {"unk_token": "<nowhere>", "vocab": {"a": 0}, "merges": []}
    named("tokenizer", "bad-unknown-token", "tokenizer.json", lost | {"pre_tokenizer": None})
    named("tokenizer", "bad-cut", "tokenizer.json", json.dumps(tokenizer())[:300])
    named("tokenizer", "good-settings", "tokenizer_config.json", {"bos_token": None, "eos_token": "<|im_end|>", "chat_template": TEMPLATE})
    named("tokenizer", "good-several-templates", "tokenizer_config.json", {"chat_template": [{"name": "default", "template": TEMPLATE}]})
    named("tokenizer", "good-generation", "generation_config.json", {"eos_token_id": [1, 7]})
    named("tokenizer", "good-config", "config.json", CONFIG)
    scaled = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    named("tokenizer", "good-config-scaled", "config.json", CONFIG | {"rope_scaling": scaled})
    named("tokenizer", "good-config-gemma", "config.json", CONFIG | {"model_type": "gemma3_text", "sliding_window": 4, "head_dim": 4})
    named("tokenizer", "bad-config-heads", "config.json", CONFIG | {"num_attention_heads": 2**63, "head_dim": 2**63})
    named("tokenizer", "bad-config-layers", "config.json", CONFIG | {"num_hidden_layers": 2**60})
    named("tokenizer", "bad-config-zero", "config.json", CONFIG | {"num_attention_heads": 0})
    named("tokenizer", "bad-config-share", "config.json", CONFIG | {"partial_rotary_factor": 1e308})
    named("tokenizer", "bad-config-deep", "config.json", "[" * 10_000)


def template_seeds() -> None:
    write("template", "good-chatml", TEMPLATE)
    write("template", "good-methods", "{{ bos_token }}{{ messages[0]['content'].strip().upper() | trim }}{{ messages | tojson(indent=2) }}{{ 'x' * 3 }}")
    grow = "{%% set ns = namespace(x='a') %%}{%% for i in range(60) %%}{%% set ns.x = %s %%}{%% endfor %%}"
    bad = {
        "range": "{% for i in range(10**9) %}{% endfor %}",
        "repeat": "{{ 'x' * 10**12 }}",
        "repeat-list": "{{ ([1] * 10**12) | length }}",
        "power": "{{ 10 ** 10 ** 10 }}",
        "double": grow % "ns.x ~ ns.x",
        "plus": grow % "ns.x + ns.x",
        "replace": grow % "ns.x.replace('a', 'aaaa')",
        "join": grow % "[ns.x, ns.x] | join(ns.x)",
        "indent": "{{ 'a\\nb' | indent(10**11) }}",
        "json-step": "{{ [[[1]]] | tojson(indent=10**11) }}",
        "json-separators": "{% set x = 'a' * 10**6 %}{{ range(10**4) | list | tojson(separators=(x, x)) }}",
        "format": "{{ '%1000000000000d' | format(1) }}",
        "batch": "{{ [1] | batch(10**11, 0) | list }}",
        "slice": "{{ [1] | slice(10**11) | list }}",
        "capture": "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}",
        "macro": "{% macro m(x, n) %}{% if n %}{{ m(x ~ x, n - 1) }}{% endif %}{% endmacro %}{{ m('a', 60) }}",
        "include": "{% include '/etc/passwd' %}",
        "import": "{% import '../secret' as s %}",
        "nested": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "clock": "{{ strftime_now('%Y' * 100000) }}{{ strftime_now('%999999999Y') }}",
        "pad": "{{ 'a'.ljust(10**12) }}",
    }
    for name, source in bad.items():
        write("template", f"bad-{name}", source)
    deep = "{%% set ns = namespace(x=1) %%}{%% for i in range(100000) %%}{%% set ns.x = %s %%}{%% endfor %%}%s"
    for name, wrap in [("list", "[ns.x]"), ("map", "{'a': ns.x}"), ("tuple", "(ns.x, 1)"), ("lists", "[" * 50 + "ns.x" + "]" * 50)]:
        for use, then in [("dropped", ""), ("printed", "{{ ns.x }}"), ("json", "{{ ns.x | tojson }}"), ("compared", "{{ ns.x == [ns.x] }}"), ("sorted", "{{ [ns.x, ns.x] | sort }}"), ("key", "{% set k = {ns.x: 1} %}{{ k }}")]:
            write("template", f"any-deep-{name}-{use}", deep % (wrap, then))


def chat_seeds() -> None:
    line = {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "A room?"}, {"role": "assistant", "content": "When?", "weight": 1}]}
    write("chats", "good-two", json.dumps(line) + "\n" + json.dumps({"messages": line["messages"][1:]}) + "\r\n\n")
    write("chats", "bad-role", '{"messages":[{"role":"tool","content":"a"}]}')
    write("chats", "bad-utf16", "{}".encode("utf-16"))
    write("chats", "bad-nested", '{"messages":' + "[" * 20_000)
    write("chats", "bad-bytes", b'{"messages":[{"role":"user","content":"\xff"}]}')


def suite_seeds() -> None:
    rows = {
        "choices": {"question": "Which is a colour?", "choices": ["red", "seven"], "answer": 0},
        "answers": {"question": "Two and two?", "answer": "four", "aliases": ["4"]},
        "cloze": {"context": "The sun is", "continuation": " hot"},
        "reference": {"instruction": "Name a fruit.", "context": "", "response": "An apple."},
        "statement": {"statement": "All cooks are lazy people.", "constructive": ["That is not so."], "agreeing": ["So it is."]},
        "request": {"prompt": "How do I boil an egg?", "expect": "comply"},
        "booking": {"messages": [{"role": "user", "content": "A room in Rome."}], "next_steps": ["ask_dates"], "known": {"city": "Rome"}, "reference": "When?"},
    }
    for name, row in rows.items():
        write("suite", f"any-{name}", json.dumps(row) + "\n")
    write("suite", "bad-form", '{"a":1}\n')
    write("suite", "bad-answer", '{"question":"q","choices":["a","b"],"answer":18446744073709551615}\n')
    write("suite", "bad-nested", '{"question":' + "[" * 20_000 + "\n")
    dialogue = {"dialogue_id": "1", "turns": [{"speaker": "USER", "utterance": "A room?", "frames": []}]}
    write("suite", "any-dialogue", json.dumps(dialogue) + "\n")


def recipe_seeds() -> None:
    tiny = pathlib.Path(__file__).parent.parent / "tests" / "chaos" / "tiny.toml"
    write("recipe", "good-tiny", tiny.read_text())
    write("recipe", "bad-brackets", "a = " + "[" * 100 + "b" + "[" * 1000)
    hosted = 'name = "a"\n[data]\nsource = "simulator"\n[[arms]]\nprovider = "openai"\nbase = "gpt"\nepochs = 2\nprice = 1.5\nmax_cost = 5.0\n[judge]\nmodel = "openai:gpt"\nmax_cost = 1.0\n[budget]\nsafety = 1.0\n'
    write("recipe", "any-hosted", hosted)
    write("recipe", "bad-name", 'name = "../../up"\n')
    write("recipe", "bad-arm-name", tiny.read_text().replace('name = "lora"', 'name = "../up"'))
    write("recipe", "any-counts", tiny.read_text().replace("steps = 3", "steps = 9223372036854775807"))
    write("recipe", "bad-rank", tiny.read_text().replace("rank = 4", "rank = 9223372036854775807"))
    write("recipe", "bad-nested", "a = " + "[" * 20_000)
    write("recipe", "bad-bytes", b'name = "\xff"')


def adapter_seeds() -> None:
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "rank_pattern": {"q_proj": 2}}
    named("adapter", "good-config", "adapter_config.json", config)
    named("adapter", "bad-rank", "adapter_config.json", config | {"r": 0})
    named("adapter", "bad-pattern-of-8000", "adapter_config.json", config | {"rank_pattern": {"q_proj" + "(" * 8000: 1}})
    named("adapter", "bad-alpha", "adapter_config.json", '{"peft_type":"LORA","r":2,"lora_alpha":1e999}')
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    pair = {f"{module}.lora_A.weight": [2, HIDDEN], f"{module}.lora_B.weight": [HIDDEN, 2]}
    named("adapter", "good-tensors", "adapter_model.safetensors", safetensors(pair))
    named("adapter", "bad-cut", "adapter_model.safetensors", safetensors(pair)[:-9])
    named("adapter", "good-whole", "adapter_model.safetensors", safetensors({f"{module}.change.weight": [HIDDEN, HIDDEN]}))
    wide = {f"{module}.change.weight": {"dtype": "F32", "shape": [0, 2**40], "data_offsets": [0, 0]}}
    named("adapter", "bad-whole-empty", "adapter_model.safetensors", safetensors({}, wide))
    named("adapter", "bad-whole-wide", "adapter_model.safetensors", safetensors({f"{module}.change.weight": [1, 3000]}))
    other = {f"{module}.lora_A.weight": [2, 5], f"{module}.lora_B.weight": [HIDDEN, 2]}
    named("adapter", "bad-width", "adapter_model.safetensors", safetensors(other))
    elsewhere = {name.replace("q_proj", "../x"): shape for name, shape in pair.items()}
    named("adapter", "bad-module", "adapter_model.safetensors", safetensors(elsewhere))


def checkpoint_seeds() -> None:
    tensors = {f"{group}:w": [2, 3] for group in ("parameter", "first", "second")}
    named("checkpoint", "good-tensors", "state.safetensors", safetensors(tensors))
    named("checkpoint", "bad-name", "state.safetensors", safetensors({"w": [2]}))
    named("checkpoint", "bad-header-2-63", "state.safetensors", struct.pack("<Q", 2**63) + b"{}")
    progress = {"step": 3, "tokens": 7, "losses": [0.5, 0.25, 0.125], "validation": [[2, 0.5]], "seconds": 1.0}
    state = {"format": "steadfast.checkpoint/1", "run": "run", "tensors": "", "weight_decay": 0.0} | progress
    named("checkpoint", "good-state", "state.json", state)
    named("checkpoint", "bad-format", "state.json", state | {"format": "steadfast.checkpoint/2"})
    named("checkpoint", "bad-step", "state.json", state | {"step": -1})


def request_seeds() -> None:
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2, "temperature": 0}
    post = lambda name, path, body: named("request", name, f"POST {path}", body)
    post("good-chat", "/v1/chat/completions", chat)
    post("good-chat-stream", "/v1/chat/completions", chat | {"stream": True, "n": 2, "stop": ["a"], "logprobs": True, "top_logprobs": 2, "seed": -1})
    post("good-chat-told", "/v1/chat/completions", chat | {"prompt_logprobs": 1, "logit_bias": {"3": -5}, "response_format": {"type": "json_object"}})
    post("good-text", "/v1/completions", {"model": "tiny", "prompt": ["the", [3, 4]], "max_tokens": 1, "echo": True, "logprobs": 1})
    post("bad-nested", "/v1/chat/completions", '{"model":"tiny","messages":' + "[" * 100_000)
    post("bad-token", "/v1/completions", {"model": "tiny", "prompt": [4294967295], "max_tokens": 1})
    post("bad-count", "/v1/chat/completions", chat | {"n": 2**63})
    post("bad-bias", "/v1/chat/completions", chat | {"logit_bias": {"999999": 1}})
    post("bad-long", "/v1/chat/completions", chat | {"messages": [{"role": "user", "content": "a" * 5000}]})
    post("good-job", "/v1/fine_tuning/jobs", {"model": "tiny", "training_file": "FILE", "suffix": "hotel", "hyperparameters": {"n_epochs": 1}})
    post("bad-suffix", "/v1/fine_tuning/jobs", {"model": "tiny", "training_file": "FILE", "suffix": "../../up"})
    post("bad-file", "/v1/fine_tuning/jobs", {"model": "tiny", "training_file": "../../../etc/passwd"})
    part = '--X\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    line = json.dumps({"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]})
    form = part % ("purpose", "", "fine-tune") + part % ("file", '; filename="../../up.jsonl"', line) + "--X--\r\n"
    post("good-file", "/v1/files", form)
    post("bad-form", "/v1/files", form[:90])
    post("bad-purpose", "/v1/files", part % ("purpose", "", "assistants") + "--X--\r\n")
    for name, path in [("file", "/v1/files/..%2f..%2fetc%2fpasswd/content"), ("job", "/v1/fine_tuning/jobs/..%2f../results"), ("model", "/v1/models/..%2f..%2fetc"), ("page", "/v1/files?limit=0"), ("after", "/v1/fine_tuning/jobs?after=x"), ("limit", "/v1/files?limit=99999999999999999999")]:
        named("request", f"bad-{name}-path", f"GET {path}", "")
    named("request", "good-list", "GET /v1/files?limit=18446744073709551615", "")


def reply_seeds() -> None:
    completion = {"choices": [{"message": {"content": "Hi"}}], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}
    named("reply", "good-chat", "chat", completion)
    named("reply", "bad-chat", "chat", "<html>busy</html>")
    named("reply", "good-openai", "openai", {"id": "ftjob-1", "status": "succeeded", "fine_tuned_model": "ft:m", "created_at": 1, "finished_at": 9, "trained_tokens": 5, "error": {"message": "no", "code": "c"}})
    named("reply", "good-together", "together", {"id": "ft-1", "status": "completed", "created_at": "2026-11-01T00:00:00Z", "updated_at": "-009999-01-02T00:00:00Z", "output_name": "m", "token_count": 5})
    named("reply", "good-text", "text", {"choices": [{"text": "<bos>The sun is hot", "logprobs": {"text_offset": [0, 5, 16], "token_logprobs": [None, -1.0, -0.5], "top_logprobs": [None, {"a": -1.0}, {"b": -0.5}]}}]})
    named("reply", "good-turn", "turn", {"prompt_logprobs": [None, {"3": {"logprob": -0.5, "rank": 1}}]})
    named("reply", "good-verdict", "verdict", 'I think.</think> ```json\n{"verdict": "agrees", "reason": "It does."}\n```')
    named("reply", "bad-verdict", "verdict", "{" * 5000)
    named("reply", "good-wait", "wait", "3")
    named("reply", "bad-long-wait", "wait", "99999999999999999999")
    named("reply", "good-refused", "refused", {"error": {"message": "no", "code": "content_filter"}})


def record_seeds() -> None:
    change = {"suite": "a", "metric": "accuracy", "before": 50.0, "after": 60.0, "net_change": 10.0, "ci95": [1.0, 19.0], "p": 0.04, "n": 20, "unscored": 1, "judged": None}
    arm = {
        "name": "lora/0", "provider": "local", "method": "lora", "seed": 0, "hyperparameters": {"rank": 4}, "axes": {"knowledge": change},
        "metrics": {"a/accuracy": change}, "drift": {"kl_per_token": 0.1}, "disturbance": [{"layer": "l", "value": 0.1}],
        "training": {"tokens": 1, "steps": 1, "tokens_per_second": 1.0, "peak_memory_bytes": 1, "seconds": 1.0},
    }
    point = {"arm": "lora/0", "gain": 1.0, "safety_loss": 0.0, "knowledge_loss": -10.0, "drift": 0.1}
    results = {"schema": "steadfast.results/1", "run": "r", "created": "2026-11-25T00:00:00Z", "base": {"id": "b", "revision": None, "sha256": "0"}, "seeds": [0], "arms": [arm], "frontier": [point]}
    named("record", "good-results", "results.json", results)
    named("record", "bad-results-schema", "results.json", results | {"schema": "steadfast.results/2"})
    named("record", "bad-results-sum", "results.json", results | {"arms": [arm | {"axes": {"knowledge": change | {"after": 1.0}}}]})
    metric = {"value": 50.0, "ci95": [40.0, 60.0], "n": 2, "unscored": 0}
    sample = lambda item, value: {"suite": "a", "axis": "knowledge", "item": item, "cluster": item, "prompt": "p", "reply": None, "scores": {"accuracy": value}, "labels": {}}
    measurement = {"schema": "steadfast.measurement/1", "model": "m", "adapter": None, "metrics": {"a/accuracy": metric}, "samples": [sample("1", 1.0), sample("2", 0.0), sample("3", None)]}
    named("record", "good-measurement", "measurement.json", measurement)
    named("record", "good-measurement-large", "measurement.json", measurement | {"samples": [sample("1", 1e308), sample("2", -1e308)]})
    manifest = {"format": "steadfast.run/1", "id": "r", "name": "r", "created": "2026-11-25T00:00:00Z", "version": "0.1.0", "settings": {}, "inputs": {"base": "0"}}
    named("record", "good-manifest", "manifest.json", manifest)
    hosted = {"schema": "steadfast.job/1", "provider": "openai", "base_url": "http://127.0.0.1/v1", "key_variable": "K", "key_file": None, "tag": "t", "file": "f", "job": "j", "state": "running", "over": False, "model": None, "training": None}
    named("record", "good-hosted", "job.json", hosted)
    choices = {"method": "lora", "epochs": 1.0, "steps": None, "learning_rate": None, "rank": 4, "batch_tokens": None, "seed": 0, "items": 4}
    job = {"id": "ftjob-00", "owner": "", "model": "m", "suffix": None, "training_file": "file-00", "choices": choices, "metadata": {}, "created_at": 1, "finished_at": None, "status": "queued", "error": None, "fine_tuned_model": None, "trained_tokens": None, "result": None}
    named("record", "good-job", "ftjob-00/job.json", job)
    named("record", "bad-job-id", "ftjob-00/job.json", job | {"id": "x"})
    named("record", "bad-job-up", "ftjob-00/job.json", job | {"id": "../../up"})
    left = {"adapter": "../../../etc", "run": "/etc"}
    named("record", "bad-job-result", "ftjob-00/job.json", job | {"result": left})
    event = {"id": "ftevent-00-000000", "created_at": 1, "level": "info", "type": "message", "message": "m", "data": None}
    named("record", "good-events", "ftjob-00/events.jsonl", json.dumps(event) + "\n" + json.dumps(event)[:20])
    file = {"id": "file-00", "owner": "", "bytes": 2, "created_at": 1, "filename": "a", "purpose": "fine-tune"}
    named("record", "good-file", "file-00.json", file)
    named("record", "bad-file-up", "file-00.json", file | {"id": "../../up"})
    named("record", "good-keys", "keys.txt", "# keys\nlaptop " + "0" * 64 + "\n")
    named("record", "bad-keys", "keys.txt", "laptop secret\n")
    named("record", "bad-database", "judge.sqlite", b"SQLite format 3\0" + bytes(200))


def archive_seeds() -> None:
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"

    def archive(entries: dict[str, bytes]) -> bytes:
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as out:
            for path, content in entries.items():
                out.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)
        return raw.getvalue()

    write("archive", "good-wheel", archive({"llm/__init__.py": b"", f"llm/{name}": b"GGUF"}))
    write("archive", "good-path-up", archive({f"../../../{name}": b"GGUF"}))
    write("archive", "bad-nothing", archive({"llm/__init__.py": b""}))
    write("archive", "bad-cut", archive({f"llm/{name}": b"GGUF" * 20})[:-12])


def main() -> None:
    gguf_seeds()
    safetensors_seeds()
    tokenizer_seeds()
    template_seeds()
    chat_seeds()
    suite_seeds()
    recipe_seeds()
    adapter_seeds()
    checkpoint_seeds()
    request_seeds()
    reply_seeds()
    record_seeds()
    archive_seeds()


if __name__ == "__main__":
    main()
