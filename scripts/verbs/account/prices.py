"""`kennel prices`: the price table for estimates, and its update from AWS."""

import dataclasses
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.aws import prices as table
from scripts.aws.client import Aws
from scripts.console import terminal
from scripts.problem import Problem
from scripts.requests import market
from scripts.verbs import options

# The Pricing API knows all regions, but runs in only a few.
_API_REGION = "us-east-1"
_USAGE_TYPE = re.compile(r"(?:^|-)(?:Train|Host):(ml\.[\w.-]+)")


def prices(
    refresh: Annotated[bool, typer.Option("--refresh", help="update it from AWS")] = False,
    region: options.Region = None,
    out: Annotated[
        Path,
        typer.Option(
            help="the file that --refresh writes; default: Kennel's table", show_default=False
        ),
    ] = table.TABLE,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Print or update the price table for estimates."""
    of_region = region or table.table().region
    if dry_run:
        terminal.dry_run([market.instance_prices(of_region)])
        return
    if refresh:
        found = hourly(Aws(_API_REGION).pages(market.instance_prices(of_region), "PriceList"))
        if not found:
            raise Problem(f"AWS sells no SageMaker instance in {of_region}: is it a region?")
        today = datetime.now(UTC).date()
        out.write_text(table.to_toml(table.Prices(of_region, today, found)))
        terminal.note(f"{out}: {len(found)} instance types of {of_region}")
        return
    if region and region != table.table().region:
        raise Problem(f"the table is for {table.table().region}: run kennel prices --refresh")
    if as_json:
        terminal.as_json(dataclasses.asdict(table.table()))
        return
    rows = ([name, f"{price:.4f}"] for name, price in table.table().hourly.items())
    terminal.table(["instance type", "$ per hour"], rows, if_empty="no prices")
    terminal.note(table.label())


def hourly(products: Iterable[Any]) -> dict[str, float]:
    """Return US dollars per hour by instance type, from the PriceList of GetProducts.

    Training and hosting cost the same for most types; otherwise the higher price counts.
    """
    found: dict[str, float] = {}
    for one in products:
        product = json.loads(one) if isinstance(one, str) else one
        usage = _USAGE_TYPE.search(product["product"]["attributes"].get("usagetype", ""))
        if not usage:
            continue
        for term in product["terms"].get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                price = float(dimension["pricePerUnit"].get("USD", 0))
                found[usage[1]] = max(price, found.get(usage[1], 0.0))
    return dict(sorted(found.items()))
