"""Environment variables that set nothing here: typing errors, and those of other serving images.

Source of the other names: TorchServe's documentation, and the environment of its SageMaker toolkit.
"""

import difflib
from collections.abc import Iterator, Mapping

from sagemaker_inference import parameters

from serve.settings import Settings, SettingsError

_OURS = {str(field.alias) for field in Settings.model_fields.values()}
_WORKERS = parameters.MODEL_SERVER_WORKERS_ENV
_TIMEOUT = parameters.MODEL_SERVER_TIMEOUT_SECONDS_ENV
# What to set instead; an empty text if nothing is needed.
_OTHERS = {
    parameters.STARTUP_TIMEOUT_ENV: _TIMEOUT,
    parameters.SAFE_PORT_RANGE_ENV: "KENNEL_MODEL_SERVER_PORT",
    parameters.LOG_LEVEL_ENV: "",
    "SAGEMAKER_TS_BATCH_SIZE": "KENNEL_BATCH_SIZE",
    "SAGEMAKER_TS_MAX_BATCH_DELAY": "KENNEL_MAX_BATCH_DELAY_MS",
    "SAGEMAKER_TS_MIN_WORKERS": _WORKERS,
    "SAGEMAKER_TS_MAX_WORKERS": _WORKERS,
    "SAGEMAKER_TS_RESPONSE_TIMEOUT": _TIMEOUT,
    "TS_DEFAULT_WORKERS_PER_MODEL": _WORKERS,
    "TS_DEFAULT_RESPONSE_TIMEOUT": _TIMEOUT,
    "TS_JOB_QUEUE_SIZE": "KENNEL_QUEUE_SIZE",
    "TS_MAX_REQUEST_SIZE": parameters.MAX_REQUEST_SIZE,
    "MMS_DEFAULT_WORKERS_PER_MODEL": _WORKERS,
    "MMS_DEFAULT_RESPONSE_TIMEOUT": _TIMEOUT,
    "MMS_JOB_QUEUE_SIZE": "KENNEL_QUEUE_SIZE",
    "MMS_MAX_REQUEST_SIZE": parameters.MAX_REQUEST_SIZE,
}


def passed_over(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each variable that looks like a setting and is none.

    Args:
        environment: of the server at its start; its processes get more variables.

    Raises:
        SettingsError: names that are nearly a setting's, with one line for each.
    """
    unknown = [name for name in environment if name.startswith("KENNEL_") and name not in _OURS]
    wrong = []
    for name in sorted(unknown):
        if near := difflib.get_close_matches(name, sorted(_OURS), 1, 0.85):
            wrong.append(f"{name} is no setting: do you mean {near[0]}? Rename it, or unset it")
        else:
            yield f"{name} is no setting of the server: it is passed over"
    if wrong:
        raise SettingsError("\n".join(wrong))
    for name in sorted(set(environment) & set(_OTHERS)):
        cure = f"set {_OTHERS[name]} instead" if _OTHERS[name] else "all lines of INFO are written"
        yield f"{name} is another server's setting and is passed over: {cure}"
