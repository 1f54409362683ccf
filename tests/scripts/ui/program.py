"""A training program that logs metrics as Kennel's jobs do; hyperparameters steer it."""

import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
HP = json.loads((ROOT / "input" / "config" / "hyperparameters.json").read_text())
HP = {name: str(value).strip('"') for name, value in HP.items()}

for line in json.loads(HP.get("lines", "[]")):
    print(line, flush=True)
pause = float(HP.get("pause", "0"))
rate = float(HP.get("learning_rate", "0.01"))
for epoch in range(1, int(HP.get("epochs", "3")) + 1):
    time.sleep(pause)
    print(f"[metric] train:loss={2 / epoch + rate:.6g} epoch={epoch}", flush=True)
    print(
        f"[metric] validation:accuracy={1 - 1 / (epoch + 1) - rate:.6g} epoch={epoch}", flush=True
    )
if "sweep" in HP:
    for number, value in enumerate((0.001, 0.01, 0.1)):
        facts = {"trial": number, "learning_rate": value, "validation:accuracy": 0.9 - value}
        print(f"[trial] {json.dumps(facts)}", flush=True)
if "fail" in HP:
    (ROOT / "output").mkdir(exist_ok=True)
    (ROOT / "output" / "failure").write_text(HP["fail"])
    sys.exit(1)
(ROOT / "model").mkdir(exist_ok=True)
(ROOT / "model" / "weights.bin").write_text("weights")
