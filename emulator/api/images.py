"""Images and their versions in the API: CREATING, then CREATED; found by number or alias."""

import threading
import time

from emulator.api.listing import Listing, cut, summaries
from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.engines import registry
from emulator.errors import Invalid, NotFound
from emulator.resources import IMAGE, IMAGE_VERSION

# How long an image or a version is CREATING. The first description of an image says so in any case.
_CREATING_S = 0.3
_LISTING = Listing(since=True, until=True)


class Images:
    """The operations on images and image versions."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._not_described: set[str] = set()

    def operations(self) -> Operations:
        """Return the operations by name."""
        return {
            "CreateImage": self.create,
            "DescribeImage": self.describe,
            "ListImages": self.list_images,
            "UpdateImage": self.update,
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
        answer = self._context.create(IMAGE, request)
        self._not_described.add(request["ImageName"])
        return answer

    def describe(self, request: Record) -> Record:
        """Return an image."""
        name = request["ImageName"]
        image = self._context.require(IMAGE, name)
        first = name in self._not_described
        self._not_described.discard(name)
        return image | {"ImageStatus": "CREATING" if first else _status(image)}

    def list_images(self, request: Record) -> Record:
        """Return summaries of images."""
        images = self._context.records.all(IMAGE)
        images = [image | {"ImageStatus": _status(image)} for image in images]
        return summaries(IMAGE, images, request, _LISTING)

    def update(self, request: Record) -> Record:
        """Change an image's texts, or delete them.

        Raises:
            NotFound: no such image.
            Invalid: a text is both set and deleted, or the image is still CREATING.
        """
        name, deleted = request["ImageName"], request.get("DeleteProperties", [])
        given: Record = {
            key: request[key] for key in ("Description", "DisplayName", "RoleArn") if key in request
        }
        if both := sorted(set(deleted) & set(given)):
            raise Invalid(f"{both} are both set and in DeleteProperties")
        image = self._context.require(IMAGE, name)
        if _status(image) != "CREATED":
            raise Invalid(f"Image {image['ImageArn']} is in status {_status(image)}")
        with self._context.records.change(IMAGE, name) as record:
            record.update(given)
            for key in deleted:
                record.pop(key, None)
        return {"ImageArn": image["ImageArn"]}

    def delete(self, request: Record) -> Record:
        """Delete an image and all its versions."""
        name = request["ImageName"]
        for version in self._versions(name):
            self._context.records.remove(IMAGE_VERSION, version["_name"])
        self._context.records.remove(IMAGE, name)
        return {}

    def create_version(self, request: Record) -> Record:
        """Register an image's next version; repeating a ClientToken returns the same version.

        Raises:
            NotFound: no such image.
            Invalid: the image is still CREATING.
        """
        name = request["ImageName"]
        with self._lock:
            image = self._context.require(IMAGE, name)
            if _status(image) != "CREATED":
                raise Invalid(f"Image {image['ImageArn']} is in status {_status(image)}")
            for version in self._versions(name):
                if version["ClientToken"] == request["ClientToken"]:
                    return {"ImageVersionArn": version["ImageVersionArn"]}
            number = image.get("_last", 0) + 1
            self._context.records.update(IMAGE, name, _last=number)
            self._remove_aliases(name, request.get("Aliases", []))
            arn = self._context.arn(IMAGE_VERSION, f"{name}/{number}")
            record = request | {
                "Version": number,
                "ImageArn": image["ImageArn"],
                "ImageVersionArn": arn,
                "ContainerImage": registry.by_digest(request["BaseImage"], self._context.region),
                "Aliases": request.get("Aliases", []),
                "_name": f"{name}:{number}",
            }
            self._context.records.add(IMAGE_VERSION, record["_name"], record)
        return {"ImageVersionArn": arn}

    def describe_version(self, request: Record) -> Record:
        """Return a version: by number, by alias, or the newest."""
        version = self._find(request)
        return version | {"ImageVersionStatus": _status(version)}

    def list_versions(self, request: Record) -> Record:
        """Return summaries of an image's versions."""
        versions = [
            version | {"ImageVersionStatus": _status(version)}
            for version in self._versions(request["ImageName"])
        ]
        return summaries(IMAGE_VERSION, versions, request, _LISTING, name_key="Version")

    def update_version(self, request: Record) -> Record:
        """Change a version's description, and move aliases."""
        with self._lock:
            version = self._find(request)
            added, deleted = request.get("AliasesToAdd", []), request.get("AliasesToDelete", [])
            kept = [alias for alias in version["Aliases"] if alias not in {*added, *deleted}]
            self._remove_aliases(request["ImageName"], added)
            not_fields = ("ImageName", "Alias", "Version", "AliasesToAdd", "AliasesToDelete")
            fields = {key: value for key, value in request.items() if key not in not_fields}
            self._context.records.update(
                IMAGE_VERSION, version["_name"], Aliases=kept + added, **fields
            )
        return {"ImageVersionArn": version["ImageVersionArn"]}

    def delete_version(self, request: Record) -> Record:
        """Delete a version; its number is not used again."""
        self._context.records.remove(IMAGE_VERSION, self._find(request)["_name"])
        return {}

    def list_aliases(self, request: Record) -> Record:
        """Return the aliases of a version, or of all versions of an image."""
        one_version = {"Alias", "Version"} & set(request)
        versions = [self._find(request)] if one_version else self._versions(request["ImageName"])
        aliases = [alias for version in versions for alias in version["Aliases"]]
        found, token = cut(sorted(aliases), request, [], lambda alias: [alias])
        return {"SageMakerImageVersionAliases": found} | token

    def _versions(self, name: str) -> list[Record]:
        """Return an image's versions, oldest first.

        Raises:
            NotFound: no such image.
        """
        self._context.require(IMAGE, name)
        versions = self._context.records.all(IMAGE_VERSION)
        found = [version for version in versions if version["ImageName"] == name]
        return sorted(found, key=lambda version: int(version["Version"]))

    def _find(self, request: Record) -> Record:
        name, alias, number = request["ImageName"], request.get("Alias"), request.get("Version")
        found = [
            version
            for version in self._versions(name)
            if (alias is None or alias in version["Aliases"])
            and (number is None or version["Version"] == number)
        ]
        if not found:
            which = f"alias {alias}" if alias else f"version {number}" if number else "any version"
            raise NotFound(f"No ImageVersion with the name {name} exists with {which}.")
        return found[-1]

    def _remove_aliases(self, name: str, aliases: list[str]) -> None:
        """Remove aliases from all versions: an alias names one version only."""
        for version in self._versions(name):
            kept = [alias for alias in version["Aliases"] if alias not in aliases]
            if kept != version["Aliases"]:
                self._context.records.update(IMAGE_VERSION, version["_name"], Aliases=kept)


def _status(record: Record) -> str:
    return "CREATED" if time.time() - record["CreationTime"] > _CREATING_S else "CREATING"
