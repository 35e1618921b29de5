"""Writes optimizer.json: three steps of torch.optim.AdamW on fixed gradients.

    python tests/golden/optimizer.py > tests/golden/optimizer.json
"""

import json
import sys

import torch

start = [0.5, -1.0, 2.0, 0.0]
gradients = [[0.1, -0.2, 0.3, 0.0], [0.1, 0.4, -0.3, 1e-3], [-2.0, 0.0, 0.3, 1e-3]]
weight = torch.nn.Parameter(torch.tensor(start))
optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.01)
after = []
for gradient in gradients:
    weight.grad = torch.tensor(gradient)
    optimizer.step()
    after.append(weight.detach().tolist())
json.dump({"start": start, "gradients": gradients, "after": after}, sys.stdout)
print()
