#!/usr/bin/env python3
"""The mean of one metric, for each kept file of a folder and each suite that has it.

    python3 benches/kept_scores.py docs/results/frontier-second/test over_refusal

Kept scores are each item's, so that what no table shows can be read from them as well. In a hundred for
scores of 0 and 1; items that could not be scored are left out.
"""

import gzip
import json
import pathlib
import sys
from collections import defaultdict

folder, metric = sys.argv[1:]
for path in sorted(pathlib.Path(folder).glob("*.jsonl.gz")):
    with gzip.open(path, "rt") as lines:
        head, *items = map(json.loads, lines)
    scores = defaultdict(list)
    for item in items:
        if (score := item["scores"].get(metric)) is not None:
            scores[item["suite"]].append(score)
    print(head["name"], *(f"{suite} {100 * sum(all) / len(all):.1f} (n {len(all)})" for suite, all in scores.items()))
