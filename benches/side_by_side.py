#!/usr/bin/env python3
"""steadfast beside what a user would otherwise run on the same machine: PyTorch, transformers and
PEFT for training, lm-evaluation-harness for scoring, transformers and llama.cpp for generating.

    python3 benches/side_by_side.py [--only train|methods|moments|growth|score|generate]
        [--pairs N] [--json] [--update FILE]

Everything runs on the CPU in f32, on the same threads, with the same batches, loss mask and
allocator settings. The peers are installed into tests/peers/.venv (or STEADFAST_PEERS). Both sides
of a row are first checked to compute the same thing; then whole processes alternate, ours and
theirs, and the median of the pairwise ratios is quoted: a machine that slows down slows both.
Run it on an idle machine. Its last output is side_by_side.json beside it.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
SPEED = ROOT / "target/release/examples/speed"
STEADFAST = ROOT / "target/release/steadfast"
PACKAGES = ["torch", "transformers", "peft", "gguf", "accelerate", "lm_eval", "xllamacpp"]
THREADS = os.cpu_count() or 1
# glibc keeps what it frees, on both sides: handing large buffers back to the kernel at each step
# would cost PyTorch more than it costs us.
ENVIRONMENT = os.environ | {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 35),
    "OMP_NUM_THREADS": str(THREADS),
    "RAYON_NUM_THREADS": str(THREADS),
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def say(*words):
    print(*words, file=sys.stderr, flush=True)


class Ran:
    """A finished process: what it printed, its wall seconds and its peak memory in bytes."""

    def __init__(self, command):
        started = time.perf_counter()
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = subprocess.Popen(
                [str(word) for word in command], stdout=out, stderr=err, env=ENVIRONMENT, cwd=ROOT
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            self.text, errors = out.read(), err.read()
        self.wall = time.perf_counter() - started
        self.memory = usage.ru_maxrss * 1024
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))}\n{errors[-3000:]}")

    def json(self):
        # A peer may print lines of its own before the document.
        return json.loads(self.text[self.text.index("{") :].strip().splitlines()[-1])


class Bench:
    def __init__(self, options, work):
        self.options = options
        self.work = work
        self.rows = []
        self.ratios = {}
        self.checks = {}
        self.floors = {}

    def file(self, name, content):
        path = self.work / name
        path.write_text(json.dumps(content))
        return path

    def speed(self, name, **content):
        return Ran([SPEED, self.file(f"{name}.json", content)])

    def peer(self, *words):
        return Ran([self.options.python, HERE / "peer.py", *words])

    def alternate(self, ours, theirs, warm_up=True):
        """Pairs of (ours, theirs), which goes first in turn, after one pair that is not counted."""
        if warm_up:
            ours(), theirs()
        pairs = []
        for index in range(self.options.pairs):
            if index % 2 == 0:
                mine = ours()
                pairs.append((mine, theirs()))
            else:
                other = theirs()
                pairs.append((ours(), other))
        return pairs

    def row(self, key, what, ours, theirs, target, better="higher", unit=""):
        """Adds the median of the pairwise ratios ours/theirs."""
        ratio = statistics.median(one / other for one, other in zip(ours, theirs))
        met = ratio >= target if better == "higher" else ratio <= target
        self.ratios[key] = round(ratio, 3)
        self.rows.append(
            {
                "key": key,
                "what": what,
                "unit": unit,
                "ours": [round(value, 4) for value in ours],
                "theirs": [round(value, 4) for value in theirs],
                "ratio": round(ratio, 3),
                "target": f"{'≥' if better == 'higher' else '≤'} {target}",
                "met": met,
            }
        )
        say(f"  {key}: {ratio:.3f} (target {self.rows[-1]['target']})")

    def alone(self, key, what, value, unit):
        self.rows.append({"key": key, "what": what, "unit": unit, "ours": value})
        say(f"  {key}: {value} {unit}")

    def check(self, name, worst, most):
        self.checks[name] = {"worst": worst, "most": most}
        say(f"  {name}: {worst:.2e} (at most {most:.0e})")
        if not worst <= most:
            raise SystemExit(f"{name}: the two sides do not compute the same thing")


def conversations(bench):
    """Tokens and loss mask of real hotel chats, as our reader makes them (equal to transformers',
    which the golden tests show)."""
    path = pathlib.Path(bench.options.chats)
    if not path.exists():
        path = bench.work / "chats.jsonl"
        path.write_text(Ran([STEADFAST, "data", "simulate", "--count", "400"]).text)
        say(f"{bench.options.chats} is not here: simulated chats stand for it")
    found = bench.speed("prepare", work="prepare", chats=str(path)).json()
    return found["tokens"], found["learn"]


def rate(steps, tokens=None):
    """Tokens a second after the first step, which warms up."""
    counted = [step["tokens"] for step in steps] if tokens is None else tokens
    return sum(counted[1:]) / sum(step["seconds"] for step in steps[1:])


def training(bench):
    tokens, learn = conversations(bench)
    flat = [token for one in tokens for token in one]
    rows = [flat[start : start + 256] for start in range(0, 256 * 64, 256)]
    # A first token is never predicted.
    learnt = [False] + [True] * 255
    full = {"tokens": rows, "learn": [learnt] * len(rows), "batch_tokens": 1024}
    # About 8 conversations a step: the default of transformers' Trainer.
    mean = sum(map(len, tokens)) / len(tokens)
    chats = {"tokens": tokens, "learn": learn, "batch_tokens": round(8 * mean)}
    common = {"work": "train", "learning_rate": 1e-3, "threads": THREADS}
    for name, key, content, steps, target in [
        ("full", "train_full", full, 6, 1.5),
        ("chats", "train_chats", chats, 3, 2.5),
    ]:
        say(f"training: {name}")
        folder = bench.work / f"train-{name}"
        work = common | content | {"method": "lora", "steps": steps, "folder": str(folder)}
        file = bench.file(f"train-{name}.json", work)
        mine = bench.work / f"mine-{name}.json"

        def ours():
            ran = Ran([SPEED, file])
            mine.write_text(json.dumps(ran.json()))
            return ran

        def theirs():
            return bench.peer("train", file, mine, bench.options.folder)

        pairs = bench.alternate(ours, theirs)
        losses = [
            abs(one["loss"] - other["loss"]) / other["loss"]
            for one, other in zip(pairs[0][0].json()["steps"], pairs[0][1].json()["steps"])
        ]
        bench.check(f"{key} loss of each step, relative", max(losses), 2e-3)
        bench.row(
            key,
            f"LoRA training, {name}",
            [rate(one.json()["steps"]) for one, _ in pairs],
            [rate(other.json()["steps"]) for _, other in pairs],
            target,
            unit="tokens/s",
        )
        bench.row(
            "train_memory" if name == "chats" else "train_memory_full",
            f"peak memory of that process, {name}",
            [one.memory / 1e9 for one, _ in pairs],
            [other.memory / 1e9 for _, other in pairs],
            0.4,
            better="lower",
            unit="GB",
        )
        floor(bench, key, content, [one.json() for one, _ in pairs])


def floor(bench, key, content, runs):
    """The least seconds that a step's multiply-adds take at the rate of the bare products."""
    measured = bench.speed("products", work="products", rows=1024).json()
    per_second = max(measured["multiply_adds_per_second"], measured["general_product_per_second"])
    mine = runs[0]
    shape = measured["shape"]
    linear, head, rank = shape["linear"], shape["head"], shape["adapter_of_rank_16"]
    work = read = 0
    for batch in mine["batches"][1:]:
        for index in batch:
            length = len(content["tokens"][index])
            learnt = sum(content["learn"][index][1:])
            # Forward and the gradient of the input; the adapter's two products forth, two back, and
            # its two gradients; a shared beginning counted each time; the causal half of attention, whose backward makes five products of the forward's two.
            attention = shape["attention"] * length * (length + 1) // 2
            work += 2 * linear * length + 2 * head * learnt + 3 * rank * length + 7 * attention // 2
            read += length
    seconds = work / per_second
    reached = statistics.median(rate(run["steps"]) for run in runs)
    bench.floors[key] = {
        "multiply_adds_per_second": per_second,
        "multiply_adds_a_token": round(work / read),
        "floor_tokens_per_second": round(read / seconds, 1),
        "reached": round(reached * seconds / read, 3),
    }
    say(f"  {key}: {bench.floors[key]}")


def methods(bench):
    say("training: other methods against lora")
    tokens, learn = conversations(bench)
    # Replies to general prompts do not begin with the domain's system prompt.
    shared = len(os.path.commonprefix(tokens))
    bare = [one[shared:] for one in tokens[200:220]]
    retained = [(one[: len(one) // 2], one[len(one) // 2 :]) for one in bare]
    common = {
        "work": "train",
        "learning_rate": 1e-3,
        "tokens": tokens[:200],
        "learn": learn[:200],
        "retained": retained,
        "batch_tokens": 1024,
        "steps": 6,
    }

    def one(method, share):
        name = f"step-{method}-{share}"
        folder = str(bench.work / name)
        return bench.speed(
            name, **common, method=method, anchor_share=share, folder=folder
        ).json()

    def of_task(mine):
        counts = [sum(len(tokens[index]) for index in batch) for batch in mine["batches"]]
        return rate(mine["steps"], counts)

    for key, method, share, what, target in [
        ("null_space_step", "null-space", 0.0, ", with the penalty", 1.0),
        ("null_space_step_anchor", "null-space", 0.05, ", KL anchor on 5% of tokens on top", 0.9),
        # Three products of a weight's size where lora has two, with the rest of a step 0.74 of its speed:
        # 80% of that.
        ("full_step", "full", 0.0, "", 0.6),
    ]:
        pairs = bench.alternate(lambda: one(method, share), lambda: one("lora", 0.0))
        bench.row(
            key,
            f"{method} step against lora step{what}",
            [of_task(mine) for mine, _ in pairs],
            [of_task(other) for _, other in pairs],
            target,
            unit="task tokens/s",
        )


def moments(bench):
    say("second moments against a forward pass")
    tokens, _ = conversations(bench)
    sequences, count = [], 0
    while count < 100_000:
        sequences.append(tokens[len(sequences) % len(tokens)])
        count += len(sequences[-1])
    half = len(sequences) // 2
    pairs = []
    # Minutes each, and nothing to warm up: one pair.
    for _ in range(1):
        mine = bench.speed(
            "moments", work="moments", retain=sequences[:half], task=sequences[half:]
        ).json()
        other = bench.speed("forward", work="forward", sequences=sequences).json()
        pairs.append((mine["seconds"], other["seconds"]))
    bench.row(
        "second_moments",
        "both moments over 100k tokens with the directions, against a forward pass with logits",
        [mine for mine, _ in pairs],
        [other for _, other in pairs],
        1.3,
        better="lower",
        unit="s",
    )


def growth(bench):
    say("as work grows")
    tokens, _ = conversations(bench)
    flat = [token for one in tokens for token in one]
    rates = {}
    for length in [256, 2048, 8192]:
        rows = [flat[start : start + length] for start in range(0, 8192, length)]
        mine = bench.speed(
            "length",
            work="train",
            method="lora",
            tokens=rows,
            learn=[[True] * length] * len(rows),
            batch_tokens=8192,
            learning_rate=1e-3,
            steps=2,
            folder=str(bench.work / f"length-{length}"),
        ).json()
        rates[length] = round(rate(mine["steps"]), 1)
    bench.alone("context", "training, 8,192 tokens a step, by sequence length", rates, "tokens/s")
    memory = {}
    for copies in [1, 20]:
        ran = bench.speed(
            "dataset",
            work="train",
            method="lora",
            tokens=tokens * copies,
            learn=[[True] * len(one) for one in tokens] * copies,
            batch_tokens=1024,
            learning_rate=1e-3,
            steps=3,
            folder=str(bench.work / f"dataset-{copies}"),
        )
        memory[len(tokens) * copies] = round(ran.memory / 1e9, 3)
    bench.alone("dataset", "peak memory of training, by conversations", memory, "GB")


def scoring(bench):
    say("scoring")
    suite = pathlib.Path(bench.options.choices)
    if not suite.exists():
        raise SystemExit(f"{suite} is not here: name a file of choice questions with --choices")
    rows = [json.loads(line) for line in suite.read_text().splitlines()][:500]
    limited = bench.work / "arc.jsonl"
    limited.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ours_command = [STEADFAST, "measure", "--suite", f"arc={limited}", "--json", "--quiet"]

    def ours():
        return Ran(ours_command)

    def theirs():
        return bench.peer("score", limited, bench.options.folder, THREADS)

    pairs = bench.alternate(ours, theirs, warm_up=False)
    mine = json.loads(pairs[0][0].text)["metrics"]["arc/accuracy"]["value"]
    other = pairs[0][1].json()["acc_norm"]
    bench.check("ARC-Easy length-normalised accuracy, points", abs(mine - 100 * other), 0.5)
    bench.row(
        "score",
        "ARC-Easy, 500 items: our whole process against their evaluation without its start",
        [len(rows) / one.wall for one, _ in pairs],
        [len(rows) / other.json()["seconds"] for _, other in pairs],
        3.0,
        unit="items/s",
    )
    starts = []
    for _ in range(bench.options.pairs + 1):
        starts.append(Ran(ours_command + ["--limit", "1"]).wall)
    bench.alone(
        "start",
        "measure: load the model, score one item",
        round(statistics.median(starts[1:]), 2),
        "s (target ≤ 1)",
    )


def generating(bench):
    say("generating")
    tokens, _ = conversations(bench)
    prompts = [one[: 24 + 2 * (index % 20)] for index, one in enumerate(tokens[:64])]
    work = {"work": "generate", "prompts": prompts, "tokens": 64, "batch": 64, "threads": THREADS}
    file = bench.file("generate.json", work)

    def ours():
        return Ran([SPEED, file])

    pairs = bench.alternate(ours, lambda: bench.peer("generate", file, bench.options.folder))
    mine, other = pairs[0][0].json()["tokens"], pairs[0][1].json()["tokens"]
    unequal = sum(one != another for one, another in zip(mine, other)) / len(mine)
    bench.check("generation: replies that differ anywhere, share", unequal, 0.1)
    bench.row(
        "generate_transformers",
        "64 prompts × 64 tokens, greedy, one batch, against transformers",
        [64 * 64 / one.json()["seconds"] for one, _ in pairs],
        [64 * 64 / other.json()["seconds"] for _, other in pairs],
        3.0,
        unit="tokens/s",
    )
    best = None
    for kind in ["F32", "F16"]:
        model = bench.work / f"base-{kind}.gguf"
        bench.peer("gguf", bench.options.gguf, model, kind)
        seconds = bench.peer("llama", file, model).json()["seconds"]
        say(f"  llama.cpp {kind}: {seconds:.2f} s")
        if best is None or seconds < best[0]:
            best = (seconds, model, kind)
    pairs = bench.alternate(ours, lambda: bench.peer("llama", file, best[1]), warm_up=False)
    bench.row(
        "generate_llama_cpp",
        f"the same against llama.cpp with {best[2]} weights",
        [64 * 64 / one.json()["seconds"] for one, _ in pairs],
        [64 * 64 / other.json()["seconds"] for _, other in pairs],
        0.8,
        unit="tokens/s",
    )


def machine():
    name = platform.processor() or platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{THREADS} × {name}"


def prepare(options):
    environment = pathlib.Path(
        os.environ.get("STEADFAST_PEERS", ROOT / "tests/peers/.venv")
    ).resolve()
    options.python = environment / "bin/python"
    if not options.python.exists():
        say("installing the peers into", environment)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    missing = subprocess.run(
        [options.python, "-c", "import torch, transformers, peft, gguf, lm_eval, xllamacpp"],
        capture_output=True,
    )
    if missing.returncode != 0:
        subprocess.run([options.python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    for target in [["--bins"], ["--example", "speed"]]:
        subprocess.run(["cargo", "build", "--release", "--quiet", *target], cwd=ROOT, check=True)
    models = json.loads(Ran([STEADFAST, "models", "--json"]).text)
    options.gguf = next(model["place"] for model in models if model["default"])
    options.folder = environment / "smollm2-135m-instruct-f32"
    if not (options.folder / "model.safetensors").exists():
        Ran([options.python, HERE / "peer.py", "folder", options.gguf, options.folder])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", choices=["train", "methods", "moments", "growth", "score", "generate"])
    parser.add_argument("--pairs", type=int, default=5, help="counted pairs a row (5)")
    parser.add_argument("--update", help="a report whose rows of the same keys are replaced")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--chats", default="../shared/data/hotel_star/train.jsonl")
    parser.add_argument("--choices", default="../shared/data/knowledge/arc_easy.jsonl")
    options = parser.parse_args()
    prepare(options)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, pathlib.Path(folder))
        if options.only in (None, "train"):
            training(bench)
        if options.only in (None, "methods"):
            methods(bench)
        if options.only in (None, "moments"):
            moments(bench)
        if options.only in (None, "growth"):
            growth(bench)
        if options.only in (None, "score"):
            scoring(bench)
        if options.only in (None, "generate"):
            generating(bench)
    made = {"machine": machine(), "date": datetime.date.today().isoformat()}
    for row in bench.rows:
        row |= made | {"pairs": options.pairs}
    report = made | {
        "threads": THREADS,
        "ratios": bench.ratios,
        "checks": bench.checks,
        "floors": bench.floors,
        "rows": bench.rows,
    }
    if options.update:
        path = pathlib.Path(options.update)
        before = json.loads(path.read_text()) if path.exists() else {}
        rows = {row["key"]: row for row in before.get("rows", []) + report["rows"]}
        merged = report | {"rows": list(rows.values())}
        for part in ("ratios", "checks", "floors"):
            merged[part] = before.get(part, {}) | report[part]
        path.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
    if options.json:
        print(json.dumps(report, indent=1, ensure_ascii=False))
        return
    print(f"{report['machine']}, {report['date']}, {options.pairs} pairs")
    for row in bench.rows:
        if "ratio" in row:
            mark = "met" if row["met"] else "missed"
            print(f"{row['key']:24} {row['ratio']:7.2f}  target {row['target']:6}  {mark}")
        else:
            print(f"{row['key']:24} {row['ours']} {row['unit']}")


if __name__ == "__main__":
    main()
