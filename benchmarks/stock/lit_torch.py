# mypy: disable-error-code="import-not-found, misc"
"""LitServe around plain torch, as its documentation shows it: `lit_torch.py PORT`."""

import os
import sys

import inference
import litserve
import torch
from fastapi import Request

from serve.settings import Settings

LAYOUT = Settings.from_environment().layout


class Classifier(litserve.LitAPI):
    """The four verbs around the stock handler's functions, with batches."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        torch.set_num_threads(LAYOUT.threads)
        self._network = inference.model_fn(os.environ["STOCK_BUNDLE"])

    def decode_request(self, request: Request) -> torch.Tensor:
        return inference.input_fn(request["picture"].file.read(), "image/jpeg")[0]

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(inputs)

    def predict(self, batch: torch.Tensor) -> torch.Tensor:
        return inference.predict_fn(batch, self._network)

    def unbatch(self, output: torch.Tensor) -> list[torch.Tensor]:
        return list(output)

    def encode_response(self, output: torch.Tensor) -> list[float]:
        return output.tolist()


if __name__ == "__main__":
    api = Classifier(max_batch_size=LAYOUT.batch_size, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=LAYOUT.workers)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
