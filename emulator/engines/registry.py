"""An image's digest and tags, as moto's ECR knows them."""

import re
from collections.abc import Iterator
from typing import Any

from moto.ecr.models import ecr_backends

from emulator.settings import ACCOUNT

_URI = re.compile(r"(?P<uri>[^/]+\.dkr\.ecr\.[^/]+/(?P<repository>[^:@]+))(?P<suffix>[:@].*)?")


def by_digest(image: str, region: str) -> str:
    """Return an image's URI with its digest; the URI itself if ECR does not know the image."""
    for repository, suffix, known in _known(image, region):
        if (suffix or ":latest").removeprefix(":") in known.image_tags:
            return f"{repository}@{known.get_image_digest()}"
    return image


def by_tag(image: str, region: str) -> str:
    """Return an image's URI with a tag: a Docker engine has no digest for images it built."""
    for repository, suffix, known in _known(image, region):
        if suffix == f"@{known.get_image_digest()}" and known.image_tags:
            return f"{repository}:{known.image_tags[0]}"
    return image


def _known(image: str, region: str) -> Iterator[tuple[str, str, Any]]:
    """Yield the images of a URI's repository, each with the repository and the tag or digest."""
    found = _URI.fullmatch(image)
    repositories: Any = ecr_backends[ACCOUNT][region].repositories
    if found and found["repository"] in repositories:
        for known in repositories[found["repository"]].images:
            yield found["uri"], found["suffix"] or "", known
