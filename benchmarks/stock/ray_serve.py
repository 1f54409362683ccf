# mypy: disable-error-code="import-not-found, misc, untyped-decorator"
"""Ray Serve around plain torch, with its batching on: `ray_serve.py PORT`.

As AWS's image `ray:serve-ml-sagemaker-cpu` runs it, without its adapter for /ping.
"""

import os
import sys
import time

import inference
import ray
import torch
from ray import serve
from starlette.requests import Request

CORES = len(os.sched_getaffinity(0))


@serve.deployment(num_replicas=CORES, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.5})
class Classifier:
    """One replica for each core, with one thread, as the stock stack's workers."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._network = inference.model_fn(os.environ["STOCK_BUNDLE"])

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.01)
    async def predict(self, bodies: list[bytes]) -> list[list[float]]:
        pixels = torch.cat([inference.input_fn(body, "image/jpeg") for body in bodies])
        return inference.predict_fn(pixels, self._network).tolist()

    async def __call__(self, request: Request) -> list[float]:
        return await self.predict(await request.body())


if __name__ == "__main__":
    ray.init(num_cpus=CORES, include_dashboard=False, object_store_memory=2**28)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Classifier.bind(), route_prefix="/invocations")
    while True:
        time.sleep(60)
