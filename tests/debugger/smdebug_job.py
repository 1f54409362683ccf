"""A job that records with the real smdebug: its script, and its configuration."""

from typing import Any

# Trains with smdebug's API and config files, as a script of a user does. Only the repairs are from
# Kennel; without them smdebug writes nothing.
JOB = """
import os, sys, json
from pathlib import Path
import torch
from torch import nn
from train.recording import smdebug

base = Path(sys.argv[1])
smd = smdebug.import_repaired(base)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.relu(self.relu(self.conv(x))).mean((2, 3)))

torch.manual_seed(0)
network, criterion = Net(), nn.CrossEntropyLoss()
hook = smd.Hook.create_from_json_file(str(base / "input/config/debughookconfig.json"))
hook.register_module(network)
hook.register_loss(criterion)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
for epoch in range(2):
    for mode, count in ((smd.modes.TRAIN, 4), (smd.modes.EVAL, 3)):
        hook.set_mode(mode)
        for _ in range(count):
            x, y = torch.randn(5, 3, 8, 8), torch.randint(0, 3, (5,))
            loss = criterion(network(x), y)
            if mode is smd.modes.TRAIN:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    hook.save_scalar("accuracy", epoch / 4)
hook.close()
"""
HOOK: dict[str, Any] = {
    "HookParameters": {"save_interval": "2", "eval.save_interval": "1"},
    "CollectionConfigurations": [
        {"CollectionName": "weights"},
        {"CollectionName": "gradients"},
        {"CollectionName": "biases", "CollectionParameters": {"reductions": "variance,l1_norm"}},
        {"CollectionName": "losses", "CollectionParameters": {"save_interval": "1"}},
        {
            "CollectionName": "relu_output",
            "CollectionParameters": {
                "include_regex": ".*relu_output.*",
                "reductions": "mean,max,min,std,abs_mean,l2_norm",
                "save_shape": True,
            },
        },
        {"CollectionName": "given", "CollectionParameters": {"include_regex": "Net_input"}},
    ],
}
