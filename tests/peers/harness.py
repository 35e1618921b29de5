"""lm-evaluation-harness asks `steadfast serve`, and must find what `steadfast measure` finds, to the item.

harness.py ADAPTER. Run by tests/peers/run. The questions are 200 of ARC-Easy where that file is in place
(../shared/data/knowledge/arc_easy.jsonl, or ARC_EASY), and the shipped multiple choice otherwise.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"

from lm_eval import simple_evaluate  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402
from program import ours, serve  # noqa: E402

SHIPPED = Path("crates/steadfast/data/general_questions.jsonl")
LIMIT = 200

# The same question, choices and score as `measure`: likelihood a byte of " choice" after the question.
TASK = """
task: steadfast_choice
dataset_path: json
dataset_kwargs:
  data_files:
    test: {questions}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""


def measured(path: Path, name: str) -> dict[str, float]:
    """Right or wrong by item, as `measure` has it."""
    suite = f"{name}={path}"
    document = json.loads(ours("measure", "--suite", suite, "--limit", str(LIMIT), "--json", "--quiet"))
    return {sample["item"]: sample["scores"]["accuracy"] for sample in document["samples"]}


def main() -> None:
    adapter = sys.argv[1]
    path = Path(os.environ.get("ARC_EASY", "../shared/data/knowledge/arc_easy.jsonl"))
    rows = [json.loads(line) for line in (path if path.exists() else SHIPPED).open(encoding="utf-8")]
    rows = [row for row in rows if "choices" in row]
    for number, row in enumerate(rows):
        row["id"] = row.get("id", f"question-{number}")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        every = folder / "every.jsonl"
        fields = ("id", "question", "choices", "answer")
        write(every, [{field: row[field] for field in fields} for row in rows])
        expected = measured(every, "choice")
        asked = [row for row in rows if row["id"] in expected]
        assert len(asked) == len(expected), "items are not known by their ids"
        questions = folder / "questions.jsonl"
        write(questions, [{field: row[field] for field in fields} for row in asked])
        (folder / "choice.yaml").write_text(TASK.format(questions=questions), encoding="utf-8")
        # For its tokenizer: the harness counts a prompt's tokens itself.
        ours("export", adapter, "--merge", str(folder / "merged"), "--quiet")
        server, address = serve()
        try:
            found = simple_evaluate(
                model="local-completions",
                model_args={
                    "model": "SmolLM2-135M-Instruct",
                    "base_url": f"{address}/v1/completions",
                    "tokenizer": str(folder / "merged"),
                    "tokenized_requests": False,
                    "num_concurrent": 8,
                },
                tasks=["steadfast_choice"],
                task_manager=TaskManager(include_path=str(folder), include_defaults=False),
                log_samples=True,
                bootstrap_iters=0,
            )
        finally:
            server.terminate()
            assert server.wait(30) == 0
    theirs = {sample["doc"]["id"]: sample["acc_norm"] for sample in found["samples"]["steadfast_choice"]}
    differ = [item for item, right in expected.items() if theirs[item] != right]
    accuracy = sum(expected.values()) / len(expected)
    print(f"lm-evaluation-harness through serve: {len(expected)} questions, accuracy {accuracy:.3f}, {len(differ)} differ")
    assert not differ, differ


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
