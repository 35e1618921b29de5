#!/usr/bin/env python3
"""A second domain after the first: what is left of the first, with each method all the way.

    python3 benches/second_domain.py FIRST [--binary FILE] [--work DIR] [--data DIR] [--only NAME …]

FIRST is a run folder of `study recipes/frontier.toml`, whose arms learnt hotel booking (STAR and SGD).
Each is merged into the base, and the result learns to answer questions (Dolly's, with answers of at most
15 words) by the same method and settings. Both domains' test items are measured before and after:

    kept      step accuracy in the first domain after the second, less before it (backward transfer)
    learnt    token F1 of answers in the second domain, after less before
    average   of step accuracy and token F1, after both

Nothing is chosen here: the settings are those that the frontier's rule chose on development items.
Writes docs/results/second-domain.json and prints a table. Goes on where it was stopped.
"""

import argparse
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Kinds of questions, and the longest answer in words: the suite asks for few, and reads 24 tokens.
KINDS, LONGEST_ANSWER, LONGEST_QUESTION = ("closed_qa", "information_extraction", "open_qa", "general_qa"), 15, 2000
STEPS = 120

LORA = {"method": "lora", "learning_rate": 3e-3}
# The default when this was measured.
NULL_SPACE = {"method": "null-space", "penalty": 30.0, "anchor_share": 0.15}
# What is called what; the arm that learnt the first domain; how the second is learnt; whether the
# conversations of the first are retained.
ARMS = {
    "lora": ("lora-3e-3-seed0", LORA, False),
    "lora, anchored in the first": ("lora-3e-3-seed0", LORA | {"anchor_share": 0.15}, True),
    "null-space": ("null-space-3e-3-seed0", NULL_SPACE, False),
    "null-space, first retained": ("null-space-3e-3-seed0", NULL_SPACE, True),
}


def questions(path: pathlib.Path) -> list[dict]:
    rows = map(json.loads, path.read_text().splitlines())
    return [
        {"id": row["id"], "question": f"{row['instruction']}\n{row['context']}".strip(), "answer": row["response"]}
        for row in rows
        if row["category"] in KINDS
        and len(row["response"].split()) <= LONGEST_ANSWER
        and len(row["instruction"]) + len(row["context"]) <= LONGEST_QUESTION
    ]


def write_lines(path: pathlib.Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def conversation(row: dict) -> dict:
    # As the suite asks.
    turns = [("user", f"{row['question']}\nAnswer in a few words."), ("assistant", row["answer"])]
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def recipe(name: str, base: pathlib.Path, arm: dict, retain: bool, work: pathlib.Path, data: pathlib.Path) -> str:
    hotel = [str(data / f"hotel_{name}" / "train.jsonl") for name in ("star", "sgd")]
    suites = {
        "star": (data / "hotel_star/test.jsonl", 100),
        "sgd": (data / "hotel_sgd/test.jsonl", 100),
        "dolly_questions": (work / "test.jsonl", 99),
    }
    # A string of JSON is one of TOML, and so are its numbers and lists.
    lines = [f"name = {json.dumps(name)}", 'preset = "standard"', f"base = {json.dumps(str(base))}", "seeds = [0]"]
    lines += ["[data]", f"paths = {json.dumps([str(work / 'train.jsonl')])}", "[generation]", "max_tokens = 48"]
    lines += ["[retain]", *([f"paths = {json.dumps(hotel)}"] if retain else [])]
    lines += ["[[arms]]", f"steps = {STEPS}", *(f"{key} = {json.dumps(value)}" for key, value in arm.items())]
    for suite, (path, limit) in suites.items():
        lines += ["[[suites]]", f'name = "{suite}"', f"path = {json.dumps(str(path))}", f"limit = {limit}"]
    return "\n".join(lines) + "\n"


def change(metric: dict) -> dict:
    return {key: metric[key] for key in ("before", "after", "net_change", "ci95", "n")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=pathlib.Path)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/steadfast")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "runs/second-domain")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--only", action="append", choices=list(ARMS))
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        rows = questions(asked.data / f"dolly/dolly_3k_{split}.jsonl")
        write_lines(asked.work / f"{split}.jsonl", [conversation(row) for row in rows] if split == "train" else rows)

    results = ROOT / "docs/results/second-domain.json"
    found = json.loads(results.read_text()) if results.exists() else {}
    for name in asked.only or ARMS:
        first, arm, retain = ARMS[name]
        base = asked.work / first
        if not base.exists():
            adapter = asked.first / "arms" / first / "adapter"
            subprocess.run([asked.binary, "export", adapter, "--merge", base], check=True)
        slug = name.replace(",", "").replace(" ", "-")
        path = asked.work / f"{slug}.toml"
        path.write_text(recipe(slug, base, arm, retain, asked.work, asked.data))
        command = [asked.binary, "study", path, "--runs", asked.work / "runs", "--json"]
        document = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        (learnt,) = document["arms"]
        found[name] = {
            "kept": change(learnt["axes"]["proficiency"]),
            "learnt": change(learnt["metrics"]["dolly_questions/token_f1"]),
            "drift": learnt["drift"]["kl_per_token"],
        }
        results.write_text(json.dumps(found, indent=1) + "\n")

    print("| second domain by | first domain, before | after | kept (BWT) | second, before | after | learnt | average | drift |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, one in found.items():
        cells = []
        for what in ("kept", "learnt"):
            low, high = one[what]["ci95"]
            cells += [f"{one[what]['before']:.1f}", f"{one[what]['after']:.1f}"]
            cells += [f"{one[what]['net_change']:+.1f} [{low:+.1f}, {high:+.1f}]"]
        average = (one["kept"]["after"] + one["learnt"]["after"]) / 2
        print("|", " | ".join([name, *cells, f"{average:.1f}", f"{one['drift']:.3f}"]), "|")


main()
