"""List operations: the filters, order and pages that all of them share."""

import base64
import binascii
from collections.abc import Sequence

from emulator.contract import Record
from emulator.errors import Invalid

_SORT_KEYS = {
    "CreationTime": "CreationTime",
    "CREATION_TIME": "CreationTime",
    "LastModifiedTime": "LastModifiedTime",
    "LAST_MODIFIED_TIME": "LastModifiedTime",
}
_PAGE = 100
# A SortBy by which the caller has already put the records in order.
ORDERED = "FinalObjectiveMetricValue"


def page(
    records: Sequence[Record],
    request: Record,
    *,
    name: str,
    status: str = "",
    order: str = "Descending",
) -> tuple[list[Record], Record]:
    """Choose the records that a list request asks for.

    Args:
        records: all of them.
        request: with NameContains, CreationTimeBefore, StatusEquals, SortBy, MaxResults and so on.
        name: the member that holds a record's name.
        status: the member that holds its status.
        order: when the request does not say.

    Returns:
        The page, and `{"NextToken": …}` if there is another.

    Raises:
        Invalid: a NextToken that was never given.
    """
    chosen = [one for one in records if _fits(one, request, name, status)]
    wanted = request.get("SortBy", "CreationTime")
    if wanted != ORDERED:
        key = status if wanted == "Status" and status else _SORT_KEYS.get(wanted, name)
        down = request.get("SortOrder", order).upper() == "DESCENDING"
        chosen.sort(key=lambda one: one[key], reverse=down)
    start = _start(request.get("NextToken"))
    end = start + request.get("MaxResults", _PAGE)
    token = {"NextToken": base64.b64encode(str(end).encode()).decode()}
    return chosen[start:end], token if end < len(chosen) else {}


def _fits(record: Record, request: Record, name: str, status: str) -> bool:
    if request.get("NameContains", "").lower() not in str(record[name]).lower():
        return False
    if status and request.get("StatusEquals", record[status]) != record[status]:
        return False
    for member in ("CreationTime", "LastModifiedTime"):
        if not record[member] > request.get(f"{member}After", float("-inf")):
            return False
        if not record[member] < request.get(f"{member}Before", float("inf")):
            return False
    return True


def _start(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError):
        raise Invalid("Invalid NextToken") from None
