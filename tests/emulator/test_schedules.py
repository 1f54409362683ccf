"""A one-time schedule deletes its endpoint, and itself; other schedules are stored only."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts.requests import schedules
from tests.emulator.client import IMAGES, QUICK, ROLE, Emulator
from tests.emulator.hosting import deploy

pytestmark = pytest.mark.slow


def test_an_endpoint_ends_by_its_schedule(emulator: Emulator) -> None:
    deploy(emulator, "brief")
    scheduler = emulator.client("scheduler")
    later = datetime.now(UTC) + timedelta(hours=1)
    scheduler.create_schedule(**schedules.create("elsewhere", ROLE, later).parameters)
    scheduler.create_schedule(**schedules.create("brief", ROLE, later).parameters)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    scheduler.update_schedule(**schedules.update("brief", ROLE, soon).parameters)
    emulator.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="brief", WaiterConfig=QUICK)
    assert datetime.now(UTC) >= soon - timedelta(seconds=1)
    emulator.wait_until(lambda: _names(scheduler) == ["kennel-elsewhere"])


def test_schedules_survive_a_restart(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path / "state", IMAGES).start()
    scheduler = emulator.client("scheduler")
    later = datetime.now(UTC) + timedelta(hours=1)
    for name in ("kept", "deleted"):
        scheduler.create_schedule(**schedules.create(name, ROLE, later).parameters)
    scheduler.delete_schedule(**schedules.delete("deleted").parameters)
    emulator.end()
    emulator.start()
    found = emulator.client("scheduler").get_schedule(Name=schedules.name("kept"))
    assert json.loads(found["Target"]["Input"]) == {"EndpointName": "kept"}
    assert _names(emulator.client("scheduler")) == ["kennel-kept"]
    emulator.end()


def _names(scheduler: Any) -> list[str]:
    return sorted(one["Name"] for one in scheduler.list_schedules()["Schedules"])
