"""List operations: filters, order and pages as each operation's documentation says.

A NextToken holds the place of the last item, so items that come or go between two pages do not
repeat or hide others.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emulator import contract
from emulator.contract import Record
from emulator.errors import Invalid
from emulator.resources import Resource

_PAGE = 10
_BY = {
    "CREATION_TIME": "CreationTime",
    "LAST_MODIFIED_TIME": "LastModifiedTime",
    "IMAGE_NAME": "Name",
    "VERSION": "Name",
}
_TIMES = ("CreationTime", "LastModifiedTime")


@dataclass(frozen=True)
class Listing:
    """How one List operation works if the request does not say.

    Args:
        sort_by: the order's member: Name, CreationTime, Status.
        descending: the direction.
        status_last: whether StatusEquals takes away from a page that is already cut.
        since: whether CreationTimeAfter includes the time itself.
        until: whether CreationTimeBefore includes the time itself.
    """

    sort_by: str = "CreationTime"
    descending: bool = True
    status_last: bool = False
    since: bool = False
    until: bool = False


BY_NAME = Listing("Name", descending=False)


def summaries(
    resource: Resource,
    records: Sequence[Record],
    request: Record,
    listing: Listing,
    *,
    name_key: str = "",
) -> Record:
    """Return a List operation's answer.

    Args:
        resource: the kind of the records.
        records: all of them.
        request: of the List operation.
        listing: how the operation works.
        name_key: the member with a record's name, if it is not the resource's.
    """
    keys = (name_key or resource.name_key, resource.status_key)
    found, token = page(records, request, listing, *keys)
    return {
        resource.list_key: [contract.members(resource.summary, record) for record in found],
        **token,
    }


def page(
    records: Sequence[Record], request: Record, listing: Listing, name_key: str, status_key: str
) -> tuple[list[Record], Record]:
    """Filter, sort and page records.

    Returns:
        The page, and `{"NextToken": …}` if there are more.

    Raises:
        Invalid: the NextToken is not of this request.
    """
    sort_by: str = request.get("SortBy", listing.sort_by)
    sort_by = _BY.get(sort_by, sort_by)
    key = {"Name": name_key, "Status": status_key}.get(sort_by, sort_by)
    descending = listing.descending
    if "SortOrder" in request:
        descending = request["SortOrder"].upper() == "DESCENDING"
    wanted = {} if listing.status_last and "MaxResults" in request else request
    found = [
        record
        for record in records
        if _matches(record, request, listing, name_key) and _has_status(record, wanted, status_key)
    ]
    found.sort(key=lambda record: _place(record, key, name_key), reverse=descending)
    found, token = cut(found, request, [key, descending], lambda one: _place(one, key, name_key))
    return [record for record in found if _has_status(record, request, status_key)], token


def cut(
    items: Sequence[Any], request: Record, order: list[Any], place: Any, size: int = _PAGE
) -> tuple[list[Any], Record]:
    """Return the page of sorted items that a request asks for, and `{"NextToken": …}` if any.

    Args:
        items: all, sorted.
        request: with NextToken and MaxResults.
        order: identifies the order; a token of another one is refused.
        place: returns an item's place in the order, unique, as a list of JSON values.
        size: of the page if the request does not say.

    Raises:
        Invalid: the token is not of this request.
    """
    filters = {
        key: value for key, value in request.items() if key not in ("NextToken", "MaxResults")
    }
    start = 0
    if request.get("NextToken"):
        last = _read_token(request["NextToken"], [filters, order])
        descending = bool(order) and order[-1] is True
        start = sum(1 for item in items if _is_past(place(item), last, descending=descending))
    end = start + request.get("MaxResults", size)
    if end >= len(items):
        return list(items[start:]), {}
    token = json.dumps([filters, order, place(items[end - 1])])
    return list(items[start:end]), {"NextToken": base64.b64encode(token.encode()).decode()}


def _place(record: Record, key: str, name_key: str) -> list[Any]:
    """Return what a record is sorted by; names make it unique."""
    return [record[key], record[name_key]]


def _is_past(place: list[Any], last: list[Any], *, descending: bool) -> bool:
    """Whether an item is on an earlier page."""
    return place >= last if descending else place <= last


def _read_token(token: str, expected: list[Any]) -> list[Any]:
    try:
        filters, order, last = json.loads(base64.b64decode(token, validate=True))
    except (ValueError, TypeError):
        raise Invalid("Invalid pagination token: it is not one of this operation") from None
    if [filters, order] != json.loads(json.dumps(expected)) or not isinstance(last, list):
        raise Invalid("Invalid pagination token: the other parameters have changed")
    return last


def _has_status(record: Record, request: Record, status_key: str) -> bool:
    return "StatusEquals" not in request or request["StatusEquals"] == record[status_key]


def _matches(record: Record, request: Record, listing: Listing, name_key: str) -> bool:
    if request.get("NameContains", "").lower() not in str(record[name_key]).lower():
        return False
    for member in _TIMES:
        after, before = request.get(f"{member}After"), request.get(f"{member}Before")
        moment = record[member]
        if after is not None and not (moment > after or (listing.since and moment == after)):
            return False
        if before is not None and not (moment < before or (listing.until and moment == before)):
            return False
    return True
