"""What ECR, which moto answers for, knows of an image: its digest, and the tags of a digest."""

import re
from collections.abc import Iterator
from typing import Any

from moto.ecr.models import ecr_backends

from emulator.settings import ACCOUNT

_URI = re.compile(r"(?P<place>[^/]+\.dkr\.ecr\.[^/]+/(?P<repository>[^:@]+))(?P<rest>[:@].*)?")


def by_digest(image: str, region: str) -> str:
    """Return an image's URI with its digest; the URI itself where ECR does not know the image."""
    for place, rest, known in _known(image, region):
        if (rest or ":latest").removeprefix(":") in known.image_tags:
            return f"{place}@{known.get_image_digest()}"
    return image


def by_tag(image: str, region: str) -> str:
    """Return an image's URI with a tag, under which an engine holds what it has built itself."""
    for place, rest, known in _known(image, region):
        if rest == f"@{known.get_image_digest()}" and known.image_tags:
            return f"{place}:{known.image_tags[0]}"
    return image


def _known(image: str, region: str) -> Iterator[tuple[str, str, Any]]:
    """Give each image of the URI's repository, with the URI's place and its tag or digest."""
    found = _URI.fullmatch(image)
    repositories: Any = ecr_backends[ACCOUNT][region].repositories
    if found and found["repository"] in repositories:
        for known in repositories[found["repository"]].images:
            yield found["place"], found["rest"] or "", known
