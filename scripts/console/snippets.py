"""A few lines of SageMaker's Python SDK, version 3, that continue where a verb stopped."""


def training_job(name: str) -> str:
    """Attach to a training job."""
    return _lines(
        "from sagemaker.core.resources import TrainingJob",
        f'job = TrainingJob.get("{name}")',
        "job.wait(logs=True)",
        "print(job.training_job_status, job.model_artifacts.s3_model_artifacts)",
    )


def tuning_job(name: str) -> str:
    """Attach to a tuning job."""
    return _lines(
        "from sagemaker.core.resources import HyperParameterTuningJob",
        f'job = HyperParameterTuningJob.get("{name}")',
        "job.wait()",
        "print(job.best_training_job.tuned_hyper_parameters)",
    )


def endpoint(name: str) -> str:
    """Invoke an endpoint."""
    return _lines(
        "from sagemaker.core.resources import Endpoint",
        f'endpoint = Endpoint.get("{name}")',
        'photo = open("photo.jpg", "rb").read()',
        'answer = endpoint.invoke(body=photo, content_type="image/jpeg")',
        "print(answer.body.read())",
    )


def _lines(*code: str) -> str:
    return "\n".join(["# with the SageMaker SDK (pip install 'sagemaker>=3'):", *code])
