# mypy: disable-error-code="import-not-found, misc"
"""LitServe around Kennel's decoder and predictor: `lit.py PORT`, the bundle in $STOCK_BUNDLE."""

import os
import sys
from pathlib import Path

import litserve
import numpy as np
from fastapi import Request

from classifier.transform import Floats
from serve.engines import choice
from serve.engines.engine import warm
from serve.settings import Settings

SETTINGS = Settings.from_environment()


class Classifier(litserve.LitAPI):
    """The four verbs, in their plainest form."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        chosen = choice.choose(Path(os.environ["STOCK_BUNDLE"]), SETTINGS)
        self._transform, self._engine = chosen.description.transform, chosen.engine
        warm(self._engine, self._transform.crop, SETTINGS.layout.batch_size)

    def decode_request(self, request: Request) -> Floats:
        return self._transform.read(request["picture"].file.read())

    def batch(self, inputs: list[Floats]) -> Floats:
        return np.stack(inputs)

    def predict(self, batch: Floats) -> Floats:
        return self._engine.predict(batch)

    def unbatch(self, output: Floats) -> list[Floats]:
        return list(output)

    def encode_response(self, output: Floats) -> list[float]:
        return output.tolist()


if __name__ == "__main__":
    api = Classifier(max_batch_size=SETTINGS.layout.batch_size, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="auto", workers_per_device=SETTINGS.layout.workers)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
