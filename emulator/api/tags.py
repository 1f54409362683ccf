"""Tags of SageMaker's resources: given at creation, added, listed, taken away."""

from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.errors import Invalid

# A kind's ARNs and names are members of its records: <stem>Arn and <stem>Name.
_STEMS = {
    "training-job": "TrainingJob",
    "hyper-parameter-tuning-job": "HyperParameterTuningJob",
    "model": "Model",
    "endpoint-config": "EndpointConfig",
    "endpoint": "Endpoint",
    "transform-job": "TransformJob",
    "image": "Image",
}


class Tags:
    """The operations on tags; they live in the resources' own records."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def operations(self) -> Operations:
        """Return what this answers."""
        return {"AddTags": self.add, "ListTags": self.list_tags, "DeleteTags": self.delete}

    def add(self, request: Record) -> Record:
        """Set tags; one of the same key is replaced."""
        kind, name, tags = self._find(request["ResourceArn"])
        tags |= {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        return {"Tags": self._keep(kind, name, tags)}

    def list_tags(self, request: Record) -> Record:
        """Return a resource's tags."""
        _, _, tags = self._find(request["ResourceArn"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def delete(self, request: Record) -> Record:
        """Take tags away."""
        kind, name, tags = self._find(request["ResourceArn"])
        gone = request["TagKeys"]
        self._keep(kind, name, {key: value for key, value in tags.items() if key not in gone})
        return {}

    def _find(self, arn: str) -> tuple[str, str, dict[str, str]]:
        kind = arn.rpartition("/")[0].rpartition(":")[2]
        stem = _STEMS.get(kind, "")
        for record in self._context.records.all(kind) if stem else []:
            if record[f"{stem}Arn"] == arn:
                tags = {tag["Key"]: tag["Value"] for tag in record.get("Tags", [])}
                return kind, record[f"{stem}Name"], tags
        raise Invalid(f"Could not find resource {arn}")

    def _keep(self, kind: str, name: str, tags: dict[str, str]) -> list[Record]:
        kept = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._context.records.update(kind, name, Tags=kept)
        return kept
