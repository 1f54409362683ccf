"""Tags of SageMaker's resources: added, listed, deleted. Create operations can set them, too."""

from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.errors import Invalid
from emulator.resources import TAGGED, Resource


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
        return {"Tags": self._save(resource, name, tags)}

    def list_tags(self, request: Record) -> Record:
        """Return a resource's tags."""
        _, _, tags = self._find(request["ResourceArn"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

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
                    return resource, record[resource.name_key], tags
        raise Invalid(f"Could not find resource {arn}")

    def _save(self, resource: Resource, name: str, tags: dict[str, str]) -> list[Record]:
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._context.records.update(resource, name, Tags=listed)
        return listed
