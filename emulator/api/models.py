"""Models and endpoint configurations in the API: kept, and checked where SageMaker does."""

from emulator import contract
from emulator.api.listing import page
from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.errors import Invalid, JobError
from emulator.store.objects import Location

MODEL = "model"
CONFIG = "endpoint-config"


class Models:
    """The operations on models and endpoint configurations."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def operations(self) -> Operations:
        """Return what this answers."""
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

    def model(self, name: str) -> Record:
        """Return a model, or raise Invalid."""
        said = f'Could not find model "{self._context.settings.arn(MODEL, name)}".'
        return self._context.need(MODEL, name, said=said)

    def config(self, name: str) -> Record:
        """Return an endpoint configuration, or raise Invalid."""
        arn = self._context.settings.arn(CONFIG, name)
        said = f'Could not find endpoint configuration "{arn}".'
        return self._context.need(CONFIG, name, said=said)

    def create_model(self, request: Record) -> Record:
        """Keep a model of one container.

        Raises:
            Invalid: no image, no role, no data where it says, several containers.
        """
        containers = request.get("Containers") or [request.get("PrimaryContainer")]
        if len(containers) != 1 or containers[0] is None:
            raise Invalid("You must provide one container: inference pipelines are not emulated")
        container = containers[0]
        if "Image" not in container:
            raise Invalid("You must provide the container's Image: the emulator has no packages'")
        if "ExecutionRoleArn" not in request:
            raise Invalid("ExecutionRoleArn must be present")
        uri = model_data(container)
        if uri:
            self._check_data(uri)
        record = request | {"PrimaryContainer": container}
        return {"ModelArn": self._keep(MODEL, "Model", request["ModelName"], record, "model")}

    def create_config(self, request: Record) -> Record:
        """Keep a configuration whose variants' models exist."""
        for variant in request["ProductionVariants"]:
            if "ModelName" not in variant:
                raise Invalid("ModelName must be present: inference components are not emulated")
            self.model(variant["ModelName"])
            _check_variant(variant)
        name, what = request["EndpointConfigName"], "endpoint configuration"
        return {"EndpointConfigArn": self._keep(CONFIG, "EndpointConfig", name, request, what)}

    def describe_model(self, request: Record) -> Record:
        """Return a model."""
        return self.model(request["ModelName"])

    def describe_config(self, request: Record) -> Record:
        """Return an endpoint configuration."""
        return self.config(request["EndpointConfigName"])

    def list_models(self, request: Record) -> Record:
        """Return summaries of models."""
        chosen, more = page(self._context.records.all(MODEL), request, name="ModelName")
        return {"Models": [contract.members("ModelSummary", one) for one in chosen]} | more

    def list_configs(self, request: Record) -> Record:
        """Return summaries of endpoint configurations."""
        chosen, more = page(self._context.records.all(CONFIG), request, name="EndpointConfigName")
        summaries = [contract.members("EndpointConfigSummary", one) for one in chosen]
        return {"EndpointConfigs": summaries} | more

    def delete_model(self, request: Record) -> Record:
        """Forget a model; endpoints that run it go on."""
        self.model(request["ModelName"])
        self._context.records.remove(MODEL, request["ModelName"])
        return {}

    def delete_config(self, request: Record) -> Record:
        """Forget an endpoint configuration."""
        self.config(request["EndpointConfigName"])
        self._context.records.remove(CONFIG, request["EndpointConfigName"])
        return {}

    def _keep(self, kind: str, prefix: str, name: str, record: Record, what: str) -> str:
        arn = self._context.settings.arn(kind, name)
        if not self._context.records.add(kind, name, record | {f"{prefix}Arn": arn}):
            raise Invalid(f'Cannot create already existing {what} "{arn}".')
        return arn

    def _check_data(self, uri: str) -> None:
        try:
            found = self._context.objects.find(Location.parse(uri))
        except JobError as error:
            raise Invalid(f"Could not access model data at {uri}: {error}") from None
        if not found:
            raise Invalid(f"Could not find model data at {uri}.")


def model_data(container: Record) -> str:
    """Return where a container's model data is, or nothing."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    uri: str = source.get("S3Uri") or container.get("ModelDataUrl", "")
    return uri


def _check_variant(variant: Record) -> None:
    serverless = "ServerlessConfig" in variant
    if serverless and "InstanceType" in variant:
        raise Invalid("InstanceType must not be set for a variant with ServerlessConfig")
    if not serverless and not {"InstanceType", "InitialInstanceCount"} <= set(variant):
        raise Invalid(
            "InstanceType and InitialInstanceCount must be present for variant "
            f"{variant['VariantName']}"
        )
