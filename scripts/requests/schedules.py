"""EventBridge Scheduler: the one schedule that deletes an endpoint at its end. Pure functions."""

import json
from datetime import UTC, datetime

from scripts.requests.request import Request


def name(endpoint: str) -> str:
    """Return the schedule's name; at most 64 characters, as an endpoint has at most 63."""
    return f"kennel-{endpoint}"[:64]


def create(endpoint: str, role: str, end: datetime) -> Request:
    """CreateSchedule: delete the endpoint once; the schedule then deletes itself.

    Args:
        endpoint: its name.
        role: the ARN of a role that the scheduler can take on.
        end: when.
    """
    partition = role.split(":")[1]
    parameters = {
        "Name": name(endpoint),
        "ScheduleExpression": f"at({end.astimezone(UTC):%Y-%m-%dT%H:%M:%S})",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": f"arn:{partition}:scheduler:::aws-sdk:sagemaker:deleteEndpoint",
            "RoleArn": role,
            "Input": json.dumps({"EndpointName": endpoint}),
        },
    }
    return Request("scheduler", "CreateSchedule", parameters)


def update(endpoint: str, role: str, end: datetime) -> Request:
    """UpdateSchedule: another end."""
    return Request("scheduler", "UpdateSchedule", create(endpoint, role, end).parameters)


def delete(endpoint: str) -> Request:
    """DeleteSchedule."""
    return Request("scheduler", "DeleteSchedule", {"Name": name(endpoint)})
