"""The functions of a user's module: those of SageMaker's inference toolkit, checked once.

    pre_model_fn(model_dir)             before the model is loaded
    model_fn(model_dir)                 -> model     instead of the bundle's network
    model_warmup_fn(model_dir, model)   after it is loaded
    input_fn(body, content_type)        -> data      instead of our decoder and transform
    predict_fn(data, model)             -> prediction
    output_fn(prediction, accept)       -> body, or (body, content type)
    transform_fn(model, body, content_type, accept)  -> the same, instead of the last three

Each can take the model server's context as one more argument, as in the toolkit.
"""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mms.context import Context

from serve.user_code import ARGUMENTS, CodeError

Function = Callable[..., Any]
_STEPS = ("input_fn", "predict_fn", "output_fn")


class UserFunctions:
    """The functions of a module.

    Args:
        module: the user's.
        name: the module's, for errors.

    Raises:
        CodeError: functions that exclude each other, or whose arguments do not fit.
    """

    def __init__(self, module: ModuleType, name: str) -> None:
        self._functions: dict[str, Function] = {}
        self._passes_context: dict[str, str] = {}
        for function, count in ARGUMENTS.items():
            found = getattr(module, function, None)
            if found is None:
                continue
            if not callable(found) or _is_coroutine(found):
                raise CodeError(f"KENNEL_CODE={name}: {function} must be a plain function")
            self._functions[function] = found
            self._passes_context[function] = _passes_context(found, count, f"{name}: {function}")
        if "transform_fn" in self and (steps := [step for step in _STEPS if step in self]):
            raise CodeError(
                f"KENNEL_CODE={name}: transform_fn replaces {', '.join(steps)}: remove one or other"
            )

    def __contains__(self, function: str) -> bool:
        return function in self._functions

    def call(self, function: str, context: Context, *arguments: Any) -> Any:
        """Call a function of the module, with the context if it takes it."""
        how = self._passes_context[function]
        if how == "position":
            return self._functions[function](*arguments, context)
        if how == "name":
            return self._functions[function](*arguments, context=context)
        return self._functions[function](*arguments)


def _is_coroutine(function: Function) -> bool:
    """Return whether a call gives something to await; an object's own call counts too."""
    both = (function, type(function).__call__)
    return any(map(inspect.iscoroutinefunction, both))


def _passes_context(function: Function, count: int, name: str) -> str:
    """Return how a function of `count` arguments takes the context: position, name or not at all.

    Raises:
        CodeError: it takes fewer or more arguments.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # of a C function
        return "no"
    by_position = [
        one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    extra = by_position[count:]
    required = [one for one in extra if one.default is one.empty]
    takes_any = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    needs_others = any(
        one.kind is one.KEYWORD_ONLY and one.default is one.empty and one.name != "context"
        for one in parameters
    )
    if (len(by_position) < count and not takes_any) or len(required) > 1 or needs_others:
        raise CodeError(
            f"KENNEL_CODE={name} takes {len(by_position)} arguments: it gets {count}, "
            "or one more with the context"
        )
    if extra and (required or extra[0].name == "context"):
        return "position"
    by_name = any(one.kind is one.KEYWORD_ONLY and one.name == "context" for one in parameters)
    return "name" if by_name else "no"
