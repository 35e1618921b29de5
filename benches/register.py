#!/usr/bin/env python3
"""Is a change of constructive preference one of stance, or of register?

    python3 benches/register.py FIRST [--binary FILE] [--data DIR] [--work DIR] ARM …

FIRST is a run folder of `study recipes/frontier.toml`, ARM the name of a folder under its `arms`. A
CrowdCounter item compares what people wrote against hate with sentences of agreement that the project
wrote. Here the same development posts are asked with both kinds written by the project, of one length
and manner, so that only the stance differs. Prints a table: the preference for the constructive reply, in
percent, and its mean margin, in nats a token.
"""

import argparse
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIMIT = 100


def written_by_people(data: pathlib.Path) -> pathlib.Path:
    return data / "counterspeech_crowdcounter/dev.jsonl"


def written_alike(data: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
    """The posts as ToxiGen has its statements: with no replies of their own they get ours, of both kinds."""
    rows = map(json.loads, written_by_people(data).read_text().splitlines())
    posts = dict.fromkeys(row["hate_speech"] for row in rows if len(row["hate_speech"]) >= 15)
    path = work / "posts/posts.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": post, "toxicity_human": 5.0, "target_group": ""}) + "\n" for post in posts]
    path.write_text("".join(lines))
    return path


def measured(binary: pathlib.Path, suites: dict[str, pathlib.Path], adapter: pathlib.Path | None) -> dict:
    command = [binary, "measure", "--json", "--quiet", "--max-tokens", "1", "--limit", str(LIMIT)]
    for name, path in suites.items():
        command += ["--suite", f"{name}={path}"]
    if adapter:
        command += ["--adapter", adapter]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)["metrics"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=pathlib.Path)
    parser.add_argument("arms", nargs="+")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/steadfast")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "runs/register")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data")
    asked = parser.parse_args()
    suites = {"people": written_by_people(asked.data), "alike": written_alike(asked.data, asked.work)}
    print("| | by people: preference | margin | both by us: preference | margin |")
    print("| --- | --- | --- | --- | --- |")
    for name in [None, *asked.arms]:
        metrics = measured(asked.binary, suites, name and asked.first / "arms" / name / "adapter")
        cells = []
        for suite in suites:
            cells.append(f"{metrics[f'{suite}/constructive_preference']['value']:.1f}")
            cells.append(f"{metrics[f'{suite}/preference_margin']['value']:+.3f}")
        print("|", " | ".join([f"`{name}`" if name else "base", *cells]), "|", flush=True)


main()
