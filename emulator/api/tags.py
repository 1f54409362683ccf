"""Tags of SageMaker's resources: added, listed, deleted. Create operations can set them, too."""

from collections.abc import Sequence

from emulator.api.listing import cut
from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.errors import Invalid, LimitExceeded
from emulator.resources import TAGGED, Resource

MAX_TAGS = 50  # of one resource; also the size of a page


def check(tags: Sequence[Record]) -> None:
    """Refuse the tags of a request that AWS refuses.

    Raises:
        Invalid: a key is AWS's own, or is given twice.
        LimitExceeded: there are too many.
    """
    keys = [tag["Key"] for tag in tags]
    if reserved := [key for key in keys if key.lower().startswith("aws:")]:
        raise Invalid(f"Tag keys must not start with 'aws:', which AWS reserves: {reserved}")
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        raise Invalid(f"Tag keys must be unique, but these are given twice: {repeated}")
    _check_number(len(keys))


def _check_number(number: int) -> None:
    if number > MAX_TAGS:
        raise LimitExceeded(f"A resource has at most {MAX_TAGS} tags; with this request {number}")


class Tags:
    """The operations on tags, which are stored in the resources' own records."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def operations(self) -> Operations:
        """Return the operations by name."""
        return {"AddTags": self.add, "ListTags": self.list_tags, "DeleteTags": self.delete}

    def add(self, request: Record) -> Record:
        """Set tags; a tag with the same key is replaced."""
        resource, name, tags = self._find(request["ResourceArn"])
        tags |= {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        _check_number(len(tags))
        return {"Tags": self._save(resource, name, tags)}

    def list_tags(self, request: Record) -> Record:
        """Return a resource's tags."""
        _, _, tags = self._find(request["ResourceArn"])
        pairs = list(enumerate(tags.items()))
        found, token = cut(pairs, request, [], lambda pair: [pair[0]], MAX_TAGS)
        return {"Tags": [{"Key": key, "Value": value} for _, (key, value) in found]} | token

    def delete(self, request: Record) -> Record:
        """Delete tags."""
        resource, name, tags = self._find(request["ResourceArn"])
        for key in request["TagKeys"]:
            tags.pop(key, None)
        self._save(resource, name, tags)
        return {}

    def _find(self, arn: str) -> tuple[Resource, str, dict[str, str]]:
        for resource in TAGGED:
            if f":{resource.kind}/" not in arn:
                continue
            for record in self._context.records.all(resource):
                if record[resource.arn_key] == arn:
                    tags = {tag["Key"]: tag["Value"] for tag in record.get("Tags", [])}
                    return resource, record.get("_name") or record[resource.name_key], tags
        raise Invalid(f"Could not find resource {arn}")

    def _save(self, resource: Resource, name: str, tags: dict[str, str]) -> list[Record]:
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._context.records.update(resource, name, Tags=listed)
        return listed
