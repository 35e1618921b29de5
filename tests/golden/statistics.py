"""Writes statistics.json: known answers by scipy.stats.

    python tests/golden/statistics.py > tests/golden/statistics.json
"""

import json
import sys

import numpy as np
from scipy import stats

pairs = [(0, 0), (1, 0), (5, 1), (10, 3), (7, 7), (40, 22), (0, 6)]
mcnemar = [
    (gained, lost, stats.binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0)
    for gained, lost in pairs
]
clopper = [
    (hits, total, stats.binomtest(hits, total).proportion_ci(0.95, method="exact").high)
    for hits, total in [(0, 10), (0, 300), (3, 50), (49, 50)]
]
random = np.random.default_rng(1)
values = random.normal(0.3, 1.0, 80).tolist()
interval = stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=2).confidence_interval
few = [0.5, -0.25, 1.0, 0.75, -0.5, 0.25, 1.5, 0.125]
exact = stats.permutation_test(
    (few,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
).pvalue
json.dump(
    {
        "mcnemar": mcnemar,
        "clopper_pearson": clopper,
        "bootstrap": [values, [interval.low, interval.high]],
        "permutation": [few, exact],
    },
    sys.stdout,
)
print()
