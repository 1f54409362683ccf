"""`kennel prices`: the table that estimates are made from, and getting it anew from AWS."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.aws import prices as table
from scripts.aws.client import Aws
from scripts.console import shown
from scripts.problem import Problem
from scripts.requests import market
from scripts.verbs import options

# The Pricing API answers for all regions, but only in a few.
_ASKED_IN = "us-east-1"
_SOLD_AS = re.compile(r"(?:^|-)(?:Train|Host):(ml\.[\w.-]+)")


def prices(
    refresh: Annotated[bool, typer.Option("--refresh", help="from the Pricing API")] = False,
    region: options.Region = None,
    out: Annotated[Path, typer.Option(help="where --refresh writes")] = table.TABLE,
    dry_run: options.DryRun = False,
) -> None:
    """Print the price table that estimates are made from; --refresh asks AWS for today's."""
    where = region or table.table().region
    if dry_run:
        shown.dry([market.instance_prices(where)])
        return
    if refresh:
        found = hourly(Aws(_ASKED_IN).pages(market.instance_prices(where), "PriceList"))
        if not found:
            raise Problem(f"AWS sells no SageMaker instance in {where}: is it a region's name?")
        today = datetime.now(UTC).date()
        out.write_text(table.written(table.Prices(where, today, found)))
        shown.say(f"{out}: {len(found)} instance types of {where}")
        return
    if region and region != table.table().region:
        raise Problem(f"the table is of {table.table().region}: kennel prices --refresh")
    rows = ([name, f"{price:.4f}"] for name, price in table.table().hourly.items())
    shown.table(["instance type", "$ an hour"], rows, none="")
    shown.say(table.label())


def hourly(products: Iterable[Any]) -> dict[str, float]:
    """US dollars an hour by instance type, from entries of GetProducts' PriceList.

    Training and hosting cost the same on most types; the dearer counts.
    """
    found: dict[str, float] = {}
    for one in products:
        product = json.loads(one) if isinstance(one, str) else one
        sold = _SOLD_AS.search(product["product"]["attributes"].get("usagetype", ""))
        if not sold:
            continue
        for term in product["terms"].get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                price = float(dimension["pricePerUnit"].get("USD", 0))
                found[sold[1]] = max(price, found.get(sold[1], 0.0))
    return dict(sorted(found.items()))
