# mypy: disable-error-code="import-not-found, misc"
"""LitServe around Kennel's decoder and predictor: `lit.py PORT`, the bundle in $STOCK_BUNDLE."""

import os
import sys
from pathlib import Path

import litserve
import torch
from fastapi import Request

from classifier import bundle
from serve import machine
from serve.predictor import Predictor, choose_device, choose_precisions

LAYOUT = machine.layout(machine.cores(), machine.gpus(), machine.memory_mb())


class Classifier(litserve.LitAPI):
    """The four verbs, in their plainest form."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        loaded = bundle.load(Path(os.environ["STOCK_BUNDLE"]))
        self._transform = loaded.description.transform
        where = choose_device("auto")
        self._predictor = Predictor(
            loaded, where, LAYOUT.threads, choose_precisions("auto", where)[0], LAYOUT.batch_size
        )
        for size in (1, LAYOUT.batch_size):
            self._predictor.warm(self._transform.crop, size)

    def decode_request(self, request: Request) -> torch.Tensor:
        return torch.from_numpy(self._transform.read(request["picture"].file.read()))

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(inputs)

    def predict(self, batch: torch.Tensor) -> torch.Tensor:
        return self._predictor.predict(batch)

    def unbatch(self, output: torch.Tensor) -> list[torch.Tensor]:
        return list(output)

    def encode_response(self, output: torch.Tensor) -> list[float]:
        return output.tolist()


if __name__ == "__main__":
    api = Classifier(max_batch_size=LAYOUT.batch_size, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="auto", workers_per_device=LAYOUT.workers)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
