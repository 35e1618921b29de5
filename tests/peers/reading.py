"""TensorBoard, the Hub's library and lm-evaluation-harness read what steadfast leaves for them.

Run by tests/peers/run. One tiny study, whose events, model card, results and samples are read by the
tools themselves.
"""

import json
import tempfile
from pathlib import Path

from huggingface_hub import ModelCard
from lm_eval.utils import (
    get_file_task_name,
    get_results_filenames,
    get_sample_results_filenames,
    make_table,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from program import ours

RECIPE = """
name = "read"
[data]
source = "simulator"
limit = 12
[[arms]]
method = "lora"
steps = 3
[[suites]]
name = "general_choice"
limit = 6
[[suites]]
name = "general_cloze"
limit = 4
"""


def events(arm: Path, steps: int) -> None:
    board = EventAccumulator(str(arm / "tensorboard"))
    board.Reload()
    losses = board.Scalars("train/loss")
    assert [event.step for event in losses] == list(range(1, steps + 1)), losses
    assert all(0 < event.value < 20 for event in losses), losses
    print(f"TensorBoard: {', '.join(sorted(board.Tags()['scalars']))}")


def card(adapter: Path) -> None:
    found = ModelCard.load(adapter / "README.md")
    assert found.data.library_name == "peft" and found.data.base_model, found.data
    assert "steadfast" in found.data.tags
    print(f"the Hub's library: a card of a change of {found.data.base_model}")


def harness(folder: Path, arm: dict) -> None:
    files = [str(path) for path in folder.rglob("*") if path.is_file()]
    (result,) = get_results_filenames(files)
    samples = get_sample_results_filenames(files)
    results = json.loads(Path(result).read_text(encoding="utf-8"))
    print(make_table(results))
    for path in samples:
        task = get_file_task_name(Path(path).name)
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        mean = sum(row["accuracy"] for row in rows) / len(rows)
        assert abs(results["results"][task]["accuracy,none"] - mean) < 1e-12, task
        change = arm["metrics"][f"{task}/accuracy"]
        assert abs(100 * mean - change["after"]) < 1e-9, (task, mean, change)
    assert len(samples) == 2, samples


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        recipe = Path(work) / "read.toml"
        recipe.write_text(RECIPE, encoding="utf-8")
        document = json.loads(ours("study", str(recipe), "--runs", f"{work}/runs", "--json", "--quiet"))
        (run,) = Path(work).glob("runs/read-*")
        (arm,) = run.glob("arms/*")
        events(arm, 3)
        card(arm / "adapter")
        harness(run / "lm-eval" / "lora", document["arms"][0])


if __name__ == "__main__":
    main()
