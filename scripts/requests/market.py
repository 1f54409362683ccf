"""Prices and quotas: the Pricing API and Service Quotas. Pure functions."""

from scripts.requests.request import Request


def instance_prices(region: str) -> Request:
    """GetProducts: every SageMaker instance type of a region."""
    fields = {"productFamily": "ML Instance", "regionCode": region}
    filters = [
        {"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in fields.items()
    ]
    return Request("pricing", "GetProducts", {"ServiceCode": "AmazonSageMaker", "Filters": filters})


def quotas() -> Request:
    """ListServiceQuotas of SageMaker."""
    return Request("service-quotas", "ListServiceQuotas", {"ServiceCode": "sagemaker"})
