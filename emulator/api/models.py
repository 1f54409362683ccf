"""Models and endpoint configurations in the API: checked as SageMaker does, and stored."""

from emulator.api.listing import summaries
from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.errors import Invalid, JobError
from emulator.resources import ENDPOINT_CONFIG, MODEL
from emulator.runs.model_data import model_uri
from emulator.store.objects import Location


class Models:
    """The operations on models and endpoint configurations."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def operations(self) -> Operations:
        """Return the operations by name."""
        return {
            "CreateModel": self.create_model,
            "DescribeModel": self.describe_model,
            "ListModels": self.list_models,
            "DeleteModel": self.delete_model,
            "CreateEndpointConfig": self.create_config,
            "DescribeEndpointConfig": self.describe_config,
            "ListEndpointConfigs": self.list_configs,
            "DeleteEndpointConfig": self.delete_config,
        }

    def create_model(self, request: Record) -> Record:
        """Store a model of one container.

        Raises:
            Invalid: no image, no role, missing model data, several containers.
        """
        containers = request.get("Containers") or [request.get("PrimaryContainer")]
        if len(containers) != 1 or containers[0] is None:
            raise Invalid("You must provide one container: inference pipelines are not emulated")
        container = containers[0]
        if "Image" not in container:
            raise Invalid("You must provide the container's Image: model packages have none here")
        if "ExecutionRoleArn" not in request:
            raise Invalid("ExecutionRoleArn must be present")
        uri = model_uri(container)
        if uri:
            self._check_data(uri)
        return self._context.create(MODEL, request | {"PrimaryContainer": container})

    def create_config(self, request: Record) -> Record:
        """Store an endpoint configuration. The models of its variants must exist."""
        for variant in request["ProductionVariants"]:
            if "ModelName" not in variant:
                raise Invalid("ModelName must be present: inference components are not emulated")
            self._context.require(MODEL, variant["ModelName"])
            _check_variant(variant)
        return self._context.create(ENDPOINT_CONFIG, request)

    def describe_model(self, request: Record) -> Record:
        """Return a model."""
        return self._context.require(MODEL, request["ModelName"])

    def describe_config(self, request: Record) -> Record:
        """Return an endpoint configuration."""
        return self._context.require(ENDPOINT_CONFIG, request["EndpointConfigName"])

    def list_models(self, request: Record) -> Record:
        """Return summaries of models."""
        return summaries(MODEL, self._context.records.all(MODEL), request)

    def list_configs(self, request: Record) -> Record:
        """Return summaries of endpoint configurations."""
        return summaries(ENDPOINT_CONFIG, self._context.records.all(ENDPOINT_CONFIG), request)

    def delete_model(self, request: Record) -> Record:
        """Delete a model; endpoints that use it continue to run."""
        self.describe_model(request)
        self._context.records.remove(MODEL, request["ModelName"])
        return {}

    def delete_config(self, request: Record) -> Record:
        """Delete an endpoint configuration."""
        self.describe_config(request)
        self._context.records.remove(ENDPOINT_CONFIG, request["EndpointConfigName"])
        return {}

    def _check_data(self, uri: str) -> None:
        try:
            found = self._context.objects.find(Location.parse(uri))
        except JobError as error:
            raise Invalid(f"Could not access model data at {uri}: {error}") from None
        if not found:
            raise Invalid(f"Could not find model data at {uri}.")


def _check_variant(variant: Record) -> None:
    serverless = "ServerlessConfig" in variant
    if serverless and "InstanceType" in variant:
        raise Invalid("InstanceType must not be set for a variant with ServerlessConfig")
    if not serverless and not {"InstanceType", "InitialInstanceCount"} <= set(variant):
        raise Invalid(
            "InstanceType and InitialInstanceCount must be present for variant "
            f"{variant['VariantName']}"
        )
