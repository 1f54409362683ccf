"""Answers photos with a bundle on this machine, without a server: `kennel ui` starts this process.

    python -m serve.local BUNDLE

Each line of the standard input is a request, {"photo": path, "explain": false}; each line of the
output an answer: {"body": …, "milliseconds": …} or {"error": …}. The first line says whether the
bundle could be loaded: {"ready": …} or {"error": …}. The end of the input ends the process.
"""

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

_EXTRA = "pip install 'sagemaker-kennel[serve]'"


def main(given: Path, requests: TextIO, answers: TextIO) -> int:
    """Load a bundle, then answer until the requests end; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="kennel-bundle-") as temporary:
        try:
            local = _Local(_unpacked(given, Path(temporary)))
        except ModuleNotFoundError as error:
            _write(answers, {"error": f"{error.name} is missing on this machine: {_EXTRA}"})
            return 1
        except (ValueError, OSError) as error:
            _write(answers, {"error": str(error)})
            return 1
        _write(answers, {"ready": local.about})
        for line in requests:
            asked = json.loads(line)
            _write(answers, local.answer(Path(asked["photo"]), explain=bool(asked.get("explain"))))
    return 0


def _unpacked(given: Path, temporary: Path) -> Path:
    """Return the folder of a bundle, unpacked if it is a model.tar.gz."""
    from pictures import archive

    if not given.is_file():
        return given
    archive.unpack(given, temporary / "model")
    return temporary / "model"


class _Local:
    """A bundle with the engine that a server on this machine would choose."""

    def __init__(self, directory: Path) -> None:
        from serve.engines import choice
        from serve.settings import Settings

        # The server's settings, from the same variables; a server's many workers are one here.
        environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", "KENNEL_BATCH_SIZE": "1"}
        self._settings = Settings.from_environment(environment | os.environ)
        chosen = choice.choose(directory, self._settings)
        self._description, self._engine = chosen.description, chosen.engine

    @property
    def about(self) -> dict[str, Any]:
        """What the page shows of the engine."""
        engine = self._engine
        return {
            "engine": f"{engine.name} in {engine.precision} on {engine.device}",
            "classes": len(self._description.classes),
        }

    def answer(self, photo: Path, *, explain: bool) -> dict[str, Any]:
        """Return what the server's verbose format has for a photo, or why there is no answer."""
        import numpy as np

        from pictures.decoder import ImageError, decode
        from serve.errors import RequestError
        from serve.formats import answers
        from serve.formats.options import Options

        description, transform = self._description, self._description.transform
        start = time.monotonic()
        try:
            picture = decode(
                photo.read_bytes(), max_pixels=self._settings.max_pixels, at_least=transform.resize
            )
            square = np.asarray(transform.geometry(picture))
            pixels = transform.normalise(square[None])
            row = self._engine.predict(pixels)[0].tolist()
            prediction = answers.Prediction(
                tuple(row),
                description.classes,
                description.temperature,
                description.novelty.score(row) if description.novelty else None,
                self._engine.explain(pixels[0], row.index(max(row))) if explain else None,
                transform.crop / transform.resize,
            )
            form = next(one for one in answers.FORMATS if one.has_extras)
            body = json.loads(form.write(prediction, Options()))
        except RequestError as error:
            return {"error": f"{error.code} {error.message}: {error.hint}"}
        except (ImageError, OSError, ValueError) as error:
            return {"error": str(error)}
        return {"body": body, "milliseconds": 1e3 * (time.monotonic() - start)}


def _write(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    # What libraries print must not be taken for an answer.
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.exit(main(Path(sys.argv[1]), sys.stdin, own))
