"""How many instances an experiment needs at once, by the names of Service Quotas."""

from scripts.spec import Experiment
from scripts.spec.endpoint import Serverless, Transform


def for_training(experiment: Experiment) -> dict[str, int]:
    """Return the number of instances by quota: all parallel trials, and the warm pool.

    Source: the names of Amazon SageMaker's quotas in the Service Quotas console.
    """
    training = experiment.training
    spot = "spot " if training.spot else ""
    parallel = experiment.tuning.parallel if experiment.tuning else 1
    name = f"{training.instance_type} for {spot}training job usage"
    found = {name: training.instance_count * parallel}
    if training.keep_alive_seconds:
        found[f"{training.instance_type} for training warm pool usage"] = training.instance_count
    return found


def for_endpoint(experiment: Experiment) -> dict[str, int]:
    """Return the number of instances by quota: of the endpoint, or of its transform job."""
    endpoint = experiment.endpoint
    if endpoint is None or isinstance(endpoint, Serverless):
        return {}
    if isinstance(endpoint, Transform):
        return {f"{endpoint.instance_type} for transform job usage": endpoint.instance_count}
    scaled = endpoint.autoscaling.max if endpoint.autoscaling else 0
    count = max(endpoint.instance_count, scaled)
    return {f"{endpoint.instance_type} for endpoint usage": count}
