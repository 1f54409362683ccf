"""How many instances an experiment needs at once, by the names of Service Quotas."""

from scripts.spec import Experiment
from scripts.spec.endpoint import Serverless, Transform


def needed(experiment: Experiment) -> dict[str, int]:
    """Return the number of instances by quota: training (all parallel trials), and the endpoint.

    Source: the names of Amazon SageMaker's quotas in the Service Quotas console.
    """
    training = experiment.training
    spot = "spot " if training.spot else ""
    parallel = experiment.tuning.parallel if experiment.tuning else 1
    found = {f"{training.instance_type} for {spot}training job usage": training.instance_count}
    found = {name: count * parallel for name, count in found.items()}
    if training.keep_alive_seconds:
        found[f"{training.instance_type} for training warm pool usage"] = training.instance_count
    endpoint = experiment.endpoint
    if endpoint is None or isinstance(endpoint, Serverless):
        return found
    if isinstance(endpoint, Transform):
        found[f"{endpoint.instance_type} for transform job usage"] = endpoint.instance_count
        return found
    scaled = endpoint.autoscaling.max if endpoint.autoscaling else 0
    found[f"{endpoint.instance_type} for endpoint usage"] = max(endpoint.instance_count, scaled)
    return found
