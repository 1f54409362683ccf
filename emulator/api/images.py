"""Images and their versions in the API: registered asynchronously, found by number or alias."""

import threading
import time

from emulator import contract
from emulator.api.listing import page
from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.engines import registry
from emulator.errors import InUse, Invalid, NotFound

IMAGE, VERSION = "image", "image-version"
# How long an image or a version is CREATING; an image is so at its first look at least.
_CREATING_S = 0.3


class Images:
    """The operations on images and image versions."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._unseen: set[str] = set()

    def operations(self) -> Operations:
        """Return what this answers."""
        return {
            "CreateImage": self.create,
            "DescribeImage": self.describe,
            "ListImages": self.list_images,
            "DeleteImage": self.delete,
            "CreateImageVersion": self.create_version,
            "DescribeImageVersion": self.describe_version,
            "ListImageVersions": self.list_versions,
            "UpdateImageVersion": self.update_version,
            "DeleteImageVersion": self.delete_version,
            "ListAliases": self.list_aliases,
        }

    def create(self, request: Record) -> Record:
        """Register an image."""
        name = request["ImageName"]
        arn = self._context.settings.arn(IMAGE, name)
        if not self._context.records.add(IMAGE, name, request | {"ImageArn": arn}):
            raise InUse(f"Image {arn} already exists")
        self._unseen.add(name)
        return {"ImageArn": arn}

    def describe(self, request: Record) -> Record:
        """Return an image."""
        image = self._need(request["ImageName"])
        unseen = request["ImageName"] in self._unseen
        self._unseen.discard(request["ImageName"])
        return image | {"ImageStatus": "CREATING" if unseen else _status(image)}

    def list_images(self, request: Record) -> Record:
        """Return all images."""
        chosen, more = page(self._context.records.all(IMAGE), request, name="ImageName")
        images = [one | {"ImageStatus": _status(one)} for one in chosen]
        return {"Images": [contract.members("Image", one) for one in images]} | more

    def delete(self, request: Record) -> Record:
        """Forget an image and all its versions."""
        name = request["ImageName"]
        self._need(name)
        for version in self._versions(name):
            self._context.records.remove(VERSION, version["_name"])
        self._context.records.remove(IMAGE, name)
        return {}

    def create_version(self, request: Record) -> Record:
        """Register an image's next version; the same ClientToken gives the same version.

        Raises:
            NotFound: no such image.
            Invalid: the image is not CREATED yet.
        """
        name = request["ImageName"]
        with self._lock:
            image = self._need(name)
            if _status(image) != "CREATED":
                raise Invalid(f"Image {image['ImageArn']} is in status {_status(image)}")
            for version in self._versions(name):
                if version["ClientToken"] == request["ClientToken"]:
                    return {"ImageVersionArn": version["ImageVersionArn"]}
            number = image.get("_last", 0) + 1
            self._context.records.update(IMAGE, name, _last=number)
            self._free(name, request.get("Aliases", []))
            arn = self._context.settings.arn(VERSION, f"{name}/{number}")
            record = request | {
                "Version": number,
                "ImageArn": image["ImageArn"],
                "ImageVersionArn": arn,
                "ContainerImage": registry.by_digest(
                    request["BaseImage"], self._context.settings.region
                ),
                "Aliases": request.get("Aliases", []),
                "_name": f"{name}:{number}",
            }
            self._context.records.add(VERSION, record["_name"], record)
        return {"ImageVersionArn": arn}

    def describe_version(self, request: Record) -> Record:
        """Return a version: by number, by alias, or the newest."""
        version = self._find(request)
        return version | {"ImageVersionStatus": _status(version)}

    def list_versions(self, request: Record) -> Record:
        """Return an image's versions."""
        self._need(request["ImageName"])
        versions = self._versions(request["ImageName"])
        chosen, more = page(versions, request, name="Version")
        found = [one | {"ImageVersionStatus": _status(one)} for one in chosen]
        return {"ImageVersions": [contract.members("ImageVersion", one) for one in found]} | more

    def update_version(self, request: Record) -> Record:
        """Change a version's description, and move aliases."""
        with self._lock:
            version = self._find(request)
            added, gone = request.get("AliasesToAdd", []), request.get("AliasesToDelete", [])
            kept = [one for one in version["Aliases"] if one not in gone and one not in added]
            self._free(request["ImageName"], added)
            rest = ("ImageName", "Alias", "Version", "AliasesToAdd", "AliasesToDelete")
            fields = {name: value for name, value in request.items() if name not in rest}
            self._context.records.update(VERSION, version["_name"], Aliases=kept + added, **fields)
        return {"ImageVersionArn": version["ImageVersionArn"]}

    def delete_version(self, request: Record) -> Record:
        """Forget a version; its number is not given again."""
        self._context.records.remove(VERSION, self._find(request)["_name"])
        return {}

    def list_aliases(self, request: Record) -> Record:
        """Return a version's aliases, or all of an image's."""
        self._need(request["ImageName"])
        chosen = {"Alias", "Version"} & set(request)
        versions = [self._find(request)] if chosen else self._versions(request["ImageName"])
        return {"SageMakerImageVersionAliases": [one for v in versions for one in v["Aliases"]]}

    def _need(self, name: str) -> Record:
        image = self._context.records.get(IMAGE, name)
        if image is None:
            raise NotFound(f"No Image with the name {name} exists.")
        return image

    def _versions(self, name: str) -> list[Record]:
        found = [one for one in self._context.records.all(VERSION) if one["ImageName"] == name]
        return sorted(found, key=lambda one: int(one["Version"]))

    def _find(self, request: Record) -> Record:
        name, alias, number = request["ImageName"], request.get("Alias"), request.get("Version")
        self._need(name)
        found = [
            one
            for one in self._versions(name)
            if (alias is None or alias in one["Aliases"])
            and (number is None or one["Version"] == number)
        ]
        if not found:
            which = f"alias {alias}" if alias else f"version {number}" if number else "any version"
            raise NotFound(f"No ImageVersion of {name} exists with {which}.")
        return found[-1]

    def _free(self, name: str, aliases: list[str]) -> None:
        """Take aliases from the versions that have them: one alias names one version."""
        for version in self._versions(name):
            kept = [one for one in version["Aliases"] if one not in aliases]
            if kept != version["Aliases"]:
                self._context.records.update(VERSION, version["_name"], Aliases=kept)


def _status(record: Record) -> str:
    return "CREATED" if time.time() - record["CreationTime"] > _CREATING_S else "CREATING"
