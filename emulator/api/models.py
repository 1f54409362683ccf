"""Models and endpoint configurations in the API: checked as SageMaker does, and stored."""

from emulator.api import model_registry
from emulator.api.listing import Listing, summaries
from emulator.context import Context, Operations
from emulator.contract import Record
from emulator.errors import Invalid, JobError
from emulator.resources import ENDPOINT_CONFIG, MODEL
from emulator.runs import defaults
from emulator.runs.hosting.model_data import model_uri
from emulator.store.objects import Location

# Members of a serverless endpoint have these sizes only, as the API's documentation says.
_SERVERLESS_MB = (1024, 2048, 3072, 4096, 5120, 6144)
_LISTING = Listing(since=True)


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
        if "PrimaryContainer" in request and "Containers" in request:
            raise Invalid("Both PrimaryContainer and Containers are given: give one of them")
        containers = request.get("Containers") or [request.get("PrimaryContainer")]
        if len(containers) != 1 or containers[0] is None:
            raise Invalid("You must provide one container: inference pipelines are not emulated")
        container = model_registry.container(self._context, containers[0])
        if "PrimaryContainer" in request:
            request["PrimaryContainer"] = container
        else:
            request["Containers"] = [container]
        if "Image" not in container:
            raise Invalid("You must provide the container's Image, or its ModelPackageName")
        if "ExecutionRoleArn" not in request:
            raise Invalid("ExecutionRoleArn must be present")
        _check_container(container)
        uri = model_uri(container)
        if uri and container.get("Mode") != "MultiModel":  # its models may come later
            self._check_data(uri)
        return self._context.create(MODEL, defaults.model(request))

    def create_config(self, request: Record) -> Record:
        """Store an endpoint configuration. The models of its variants must exist."""
        variants = request["ProductionVariants"]
        names = [variant["VariantName"] for variant in variants]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise Invalid(f"The variant names must be unique, but these are not: {repeated}")
        for variant in variants:
            if "ModelName" not in variant:
                raise Invalid("ModelName must be present: inference components are not emulated")
            model = self._context.require(MODEL, variant["ModelName"])
            _check_variant(variant)
            if "ServerlessConfig" in variant:
                _check_serverless(request, model)
        if "AsyncInferenceConfig" in request:
            if any("ServerlessConfig" in variant for variant in variants):
                raise Invalid("AsyncInferenceConfig is not for variants with ServerlessConfig")
            if len(variants) > 1:
                raise Invalid("An asynchronous endpoint has one variant")
            _check_output(request["AsyncInferenceConfig"]["OutputConfig"])
        return self._context.create(ENDPOINT_CONFIG, defaults.endpoint_config(request))

    def describe_model(self, request: Record) -> Record:
        """Return a model."""
        return self._context.require(MODEL, request["ModelName"])

    def describe_config(self, request: Record) -> Record:
        """Return an endpoint configuration."""
        return self._context.require(ENDPOINT_CONFIG, request["EndpointConfigName"])

    def list_models(self, request: Record) -> Record:
        """Return summaries of models."""
        return summaries(MODEL, self._context.records.all(MODEL), request, _LISTING)

    def list_configs(self, request: Record) -> Record:
        """Return summaries of endpoint configurations."""
        configs = self._context.records.all(ENDPOINT_CONFIG)
        return summaries(ENDPOINT_CONFIG, configs, request, _LISTING)

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


def _check_container(container: Record) -> None:
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    if source and "ModelDataUrl" in container:
        raise Invalid("Both ModelDataUrl and ModelDataSource are given: give one of them")
    multi = container.get("Mode") == "MultiModel"
    if multi and not model_uri(container):
        raise Invalid(
            "A container with Mode MultiModel needs ModelDataUrl, the prefix of its models"
        )
    caching = container.get("MultiModelConfig", {}).get("ModelCacheSetting", "Enabled")
    if caching != "Enabled":
        raise Invalid(f"MultiModelConfig.ModelCacheSetting {caching} is not emulated")


def _check_serverless(request: Record, model: Record) -> None:
    """Refuse what serverless endpoints do not have ("Feature exclusions" in SageMaker's guide)."""
    excluded = {
        "several variants": len(request["ProductionVariants"]) > 1,
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation")
        or model["EnableNetworkIsolation"],
        "VpcConfig": "VpcConfig" in request or "VpcConfig" in model,
        "multi-model endpoints": model.get("PrimaryContainer", {}).get("Mode") == "MultiModel",
    }
    if found := [name for name, given in excluded.items() if given]:
        raise Invalid(f"ServerlessConfig: serverless endpoints do not have {', '.join(found)}")


def _check_output(output: Record) -> None:
    if "S3OutputPath" not in output:
        raise Invalid("AsyncInferenceConfig: OutputConfig.S3OutputPath must be present")
    for member in ("S3OutputPath", "S3FailurePath"):
        path = str(output.get(member, output["S3OutputPath"]))
        try:
            Location.parse(path)
        except JobError as error:
            raise Invalid(f"AsyncInferenceConfig: OutputConfig.{member}: {error}") from None


def _check_variant(variant: Record) -> None:
    name, serverless = variant["VariantName"], variant.get("ServerlessConfig")
    if serverless is None:
        if not {"InstanceType", "InitialInstanceCount"} <= set(variant):
            raise Invalid(
                f"InstanceType and InitialInstanceCount must be present for variant {name}"
            )
        return
    if given := {"InstanceType", "InitialInstanceCount"} & set(variant):
        raise Invalid(
            f"{' and '.join(sorted(given))} must not be set for a variant with ServerlessConfig"
        )
    provisioned, most = serverless.get("ProvisionedConcurrency", 0), serverless["MaxConcurrency"]
    if provisioned > most:
        raise Invalid(
            f"ProvisionedConcurrency {provisioned} must be at most MaxConcurrency, {most}, of "
            f"variant {name}"
        )
    memory = serverless["MemorySizeInMB"]
    if memory not in _SERVERLESS_MB:
        raise Invalid(
            f"1 validation error detected: Value '{memory}' at 'MemorySizeInMB' failed to satisfy "
            "constraint: Member must satisfy enum value set: "
            f"[{', '.join(str(size) for size in _SERVERLESS_MB)}]"
        )
