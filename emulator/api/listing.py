"""List operations: filters, order, pages and summaries, the same for all resources."""

import base64
import binascii
from collections.abc import Sequence

from emulator import contract
from emulator.contract import Record
from emulator.errors import Invalid
from emulator.resources import Resource

_SORT_KEYS = {
    "CreationTime": "CreationTime",
    "CREATION_TIME": "CreationTime",
    "LastModifiedTime": "LastModifiedTime",
    "LAST_MODIFIED_TIME": "LastModifiedTime",
}
_PAGE = 100
# A SortBy for which the caller sorts.
SORTED = "FinalObjectiveMetricValue"


def summaries(
    resource: Resource, records: Sequence[Record], request: Record, *, name_key: str = ""
) -> Record:
    """Return a List operation's answer.

    Args:
        resource: the kind of the records.
        records: all of them.
        request: of the List operation.
        name_key: the member with a record's name, if it is not the resource's.
    """
    name_key = name_key or resource.name_key
    found, token = page(records, request, name_key=name_key, status_key=resource.status_key)
    return {
        resource.list_key: [contract.members(resource.summary, record) for record in found],
        **token,
    }


def page(
    records: Sequence[Record],
    request: Record,
    *,
    name_key: str,
    status_key: str,
    order: str = "Descending",
) -> tuple[list[Record], Record]:
    """Filter, sort and page records.

    Args:
        records: all of them.
        request: with NameContains, CreationTimeBefore, StatusEquals, SortBy, MaxResults and so on.
        name_key: the member with a record's name.
        status_key: the member with its status, if it has one.
        order: if the request has no SortOrder.

    Returns:
        The page, and `{"NextToken": …}` if there are more.

    Raises:
        Invalid: the NextToken is not one of ours.
    """
    found = [record for record in records if _matches(record, request, name_key, status_key)]
    sort_by = request.get("SortBy", "CreationTime")
    if sort_by != SORTED:
        key = status_key if sort_by == "Status" else _SORT_KEYS.get(sort_by, name_key)
        descending = request.get("SortOrder", order).upper() == "DESCENDING"
        found.sort(key=lambda record: record[key], reverse=descending)
    start = _start(request.get("NextToken"))
    end = start + request.get("MaxResults", _PAGE)
    token = {"NextToken": base64.b64encode(str(end).encode()).decode()}
    return found[start:end], token if end < len(found) else {}


def _matches(record: Record, request: Record, name_key: str, status_key: str) -> bool:
    if request.get("NameContains", "").lower() not in str(record[name_key]).lower():
        return False
    if "StatusEquals" in request and request["StatusEquals"] != record[status_key]:
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
