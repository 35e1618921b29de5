"""Writes methods.json: CorDA (knowledge-preserved) of the real peft on one linear layer, after its
initialisation and after three steps of AdamW on a mean square error.

    python -P tests/golden/methods.py > tests/golden/methods.json     # torch, peft

(-P: the statistics.py beside this file would stand in the way of Python's own.)
"""

import json
import sys

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import preprocess_corda

INPUTS, OUTPUTS, ROWS, RANK, ALPHA = 12, 9, 40, 3, 6


generator = torch.Generator().manual_seed(0)


def random(rows, columns):
    return torch.randn(rows, columns, generator=generator)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.x = torch.nn.Linear(INPUTS, OUTPUTS, bias=False)
        self.x.weight.data = 0.5 * random(OUTPUTS, INPUTS)
        self.config = {"model_type": "custom"}

    def forward(self, inputs):
        return self.x(inputs)


# Columns of falling size, so that the moment has a spectrum.
retained = random(ROWS, INPUTS) * torch.linspace(1.0, 0.2, INPUTS)
inputs, wanted = random(ROWS, INPUTS), random(ROWS, OUTPUTS)
model = Model()
start = model.x.weight.detach().clone()
config = LoraConfig(
    r=RANK,
    lora_alpha=ALPHA,
    target_modules=["x"],
    init_lora_weights="corda",
    corda_config=CordaConfig(corda_method="kpm", prune_temporary_fields=False),
)


def run():
    # peft sums over the rows of a call, divided by the largest entry, and averages over calls.
    with torch.no_grad():
        model(retained[None])


preprocess_corda(model, config, run_model=run)
peft = get_peft_model(model, config)
layer = peft.base_model.model.x
a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
scale = layer.scaling["default"]
first = (b @ a).detach().clone()
optimizer = torch.optim.AdamW([a, b], lr=1e-2, weight_decay=0.0)
for _ in range(3):
    optimizer.zero_grad()
    torch.nn.functional.mse_loss(layer(inputs), wanted).backward()
    optimizer.step()
json.dump(
    {
        "rank": RANK,
        "alpha": ALPHA,
        "weight": start.tolist(),
        "retained": retained.tolist(),
        "inputs": inputs.tolist(),
        "wanted": wanted.tolist(),
        "beginning": (scale * first).tolist(),
        "after": (scale * (b @ a - first)).tolist(),
    },
    sys.stdout,
)
print()
