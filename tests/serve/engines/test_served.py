"""A bundle with exports, through the whole server: nginx, Java and a worker."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from classifier import bundle
from tests.serve.conftest import picture
from tests.serve.running import serving, until

pytestmark = pytest.mark.slow


def test_openvino_serves_and_ping_says_so(exported: Path, nginx: None) -> None:
    loaded = bundle.load(exported)
    transform = loaded.description.transform
    with serving(exported.parent, KENNEL_PRECISION="fp32") as server:
        server.wait_for_ping(200)
        said = server.ask("GET", "/ping").json()
        assert said["status"] == "Healthy"
        assert (said["engine"], said["precision"], said["device"]) == ("openvino", "fp32", "cpu")
        assert said["why"] == "the best for this machine and bundle"
        # The log of a worker comes by way of Java.
        assert until(lambda: "serving in fp32 by openvino on cpu" in server.log or None)
        for seed in range(3):
            expected = bundle.on_arrays(loaded.network)(transform.read(picture(seed))[None])[0]
            assert np.allclose(server.classify(picture(seed)).json(), expected, atol=1e-4)
        photos = [base64.b64encode(picture(seed)).decode() for seed in range(11)]
        body = json.dumps({"images": photos}).encode()
        kind = {"Content-Type": "application/json"}
        assert len(server.ask("POST", "/invocations", body, kind).json()) == 11
