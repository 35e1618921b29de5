#!/usr/bin/env python3
"""Is a change of constructive preference one of stance, or of register?

    python3 benches/register.py FIRST ARM … [--binary FILE] [--data DIR] [--work DIR]

FIRST is a run folder of `study recipes/frontier.toml`, ARM the name of a folder under its `arms`. A
CrowdCounter item compares what people wrote against hate with sentences of agreement that the project
wrote. Here the same development posts are put with both kinds written by the project as well, of one
length and manner, which do not name the group. Prints a table of changes against the base, with 95%
intervals over posts: of the preference for the constructive reply, in points, and of its mean margin, in
hundredths of a nat a token.
"""

import argparse
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIMIT = 100
# The kinds of replies that make a post an item of the suite.
CONSTRUCTIVE = ("contradiction", "empathy_affiliation", "questions")
METRICS = ("constructive_preference", "preference_margin")


def written_by_people(data: pathlib.Path) -> pathlib.Path:
    return data / "counterspeech_crowdcounter/dev.jsonl"


def written_alike(data: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
    """The posts as ToxiGen has its statements: with no replies of their own they get ours, of both kinds."""
    rows = map(json.loads, written_by_people(data).read_text().splitlines())
    posts = dict.fromkeys(row["hate_speech"] for row in rows if row["requested_type"] in CONSTRUCTIVE)
    # Away from CrowdCounter, whose replies would be taken where they lie near.
    path = work / "posts/posts.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": post, "toxicity_human": 5.0, "target_group": ""}) + "\n" for post in posts]
    path.write_text("".join(lines))
    return path


def answer(command: list) -> dict:
    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=pathlib.Path)
    parser.add_argument("arms", nargs="+")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/steadfast")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "runs/register")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data")
    asked = parser.parse_args()

    suites = {"people": written_by_people(asked.data), "alike": written_alike(asked.data, asked.work)}
    measure = [asked.binary, "measure", "--json", "--quiet", "--max-tokens", 1, "--limit", LIMIT]
    for name, path in suites.items():
        measure += ["--suite", f"{name}={path}"]

    def measured(name: str | None) -> pathlib.Path:
        adapter = ["--adapter", asked.first / "arms" / name / "adapter"] if name else []
        path = asked.work / f"{name or 'base'}.json"
        path.write_text(json.dumps(answer([*measure, *adapter])))
        return path

    base = measured(None)
    values = json.loads(base.read_text())["metrics"]
    cells = [f"{values[f'{suite}/{metric}']['value']:.3g}" for suite in suites for metric in METRICS]
    print("| | by people: preference | margin | both by us: preference | margin |")
    print("| --- | --- | --- | --- | --- |")
    print("|", " | ".join(["base (percent; nats)", *cells]), "|", flush=True)
    for name in asked.arms:
        changes = answer([asked.binary, "compare", base, measured(name), "--json"])["metrics"]
        cells = [f"`{name}`"]
        for suite in suites:
            for metric in METRICS:
                change = changes[f"{suite}/{metric}"]
                scale = 100 if metric == "preference_margin" else 1
                low, high = (scale * bound for bound in change["ci95"])
                cells.append(f"{scale * change['net_change']:+.1f} [{low:+.1f}, {high:+.1f}]")
        print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
