"""The column rules of FOCUS 1.2 that a charge for usage must keep, written as a table.

Source: FOCUS Specification 1.2, Cost and Usage dataset: column requirements and attributes.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal

# Name, type, whether a charge for usage may have null in it, allowed values.
TABLE: dict[str, tuple[str, bool, tuple[str, ...]]] = {
    "BilledCost": ("decimal", False, ()),
    "BillingAccountId": ("string", False, ()),
    "BillingAccountName": ("string", False, ()),
    "BillingCurrency": ("currency", False, ()),
    "BillingPeriodEnd": ("date/time", False, ()),
    "BillingPeriodStart": ("date/time", False, ()),
    "ChargeCategory": ("string", False, ("Usage",)),
    "ChargeClass": ("string", True, ("Correction",)),
    "ChargeDescription": ("string", False, ()),
    "ChargeFrequency": ("string", False, ("One-Time", "Recurring", "Usage-Based")),
    "ChargePeriodEnd": ("date/time", False, ()),
    "ChargePeriodStart": ("date/time", False, ()),
    "ConsumedQuantity": ("decimal", False, ()),
    "ConsumedUnit": ("string", False, ()),
    "ContractedCost": ("decimal", False, ()),
    "ContractedUnitPrice": ("price", False, ()),
    "EffectiveCost": ("decimal", False, ()),
    "InvoiceId": ("string", True, ()),
    "InvoiceIssuerName": ("string", False, ()),
    "ListCost": ("decimal", False, ()),
    "ListUnitPrice": ("price", False, ()),
    "PricingCategory": ("string", False, ("Standard", "Dynamic", "Committed", "Other")),
    "PricingCurrency": ("currency", False, ()),
    "PricingCurrencyContractedUnitPrice": ("price", False, ()),
    "PricingCurrencyEffectiveCost": ("decimal", False, ()),
    "PricingCurrencyListUnitPrice": ("price", False, ()),
    "PricingQuantity": ("decimal", False, ()),
    "PricingUnit": ("string", False, ()),
    "ProviderName": ("string", False, ()),
    "PublisherName": ("string", False, ()),
    "ServiceCategory": ("string", False, ("AI and Machine Learning",)),
    "ServiceName": ("string", False, ()),
    "ServiceSubcategory": ("string", False, ("Generative AI", "Other (AI and Machine Learning)")),
    "SkuId": ("string", False, ()),
    "SkuMeter": ("string", False, ()),
    "SkuPriceDetails": ("json", True, ()),
    "SkuPriceId": ("string", False, ()),
    "Tags": ("json", True, ()),
    **{
        f"CommitmentDiscount{name}": ("null", True, ())
        for name in ("Category", "Id", "Name", "Quantity", "Status", "Type", "Unit")
    },
}

FORMATS = {
    "decimal": r"-?\d+(\.\d+)?(E-?\d+)?",
    "price": r"\d+(\.\d+)?(E-?\d+)?",
    "currency": r"[A-Z]{3}",
    "date/time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "string": r"(?s).*\S.*",
    "null": r"(?!)",
}


def faults(row: Mapping[str, str]) -> list[str]:
    """Return which rules one row of a CSV breaks; an empty field is a null."""
    found = [f"{name}: missing" for name in TABLE if name not in row]
    found += [
        f"{name}: neither of FOCUS nor x_"
        for name in row
        if name not in TABLE and not re.fullmatch(r"x_[A-Z][A-Za-z0-9]*", name)
    ]
    for name in TABLE.keys() & row.keys():
        kind, is_nullable, values = TABLE[name]
        text = row[name]
        if not text:
            found += [] if is_nullable else [f"{name}: null"]
        elif kind == "json":
            found += _json_faults(name, text)
        elif not re.fullmatch(FORMATS[kind], text):
            found.append(f"{name}: {text!r} is no {kind}")
        elif values and text not in values:
            found.append(f"{name}: {text!r} is not allowed")
    return found + _relations(row)


def _json_faults(name: str, text: str) -> list[str]:
    value = json.loads(text)
    if not isinstance(value, dict):
        return [f"{name}: no object"]
    return [f"{name}: {key} is nested" for key, of in value.items() if isinstance(of, dict | list)]


def _relations(row: Mapping[str, str]) -> list[str]:
    found = []
    quantity = Decimal(row["PricingQuantity"])
    for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
        if quantity * Decimal(row[price]) != Decimal(row[cost]):
            found.append(f"{cost}: not {price} times PricingQuantity")
    for what in ("Billing", "Charge"):
        if row[f"{what}PeriodStart"] >= row[f"{what}PeriodEnd"]:
            found.append(f"{what}Period: empty")
    if not row["SkuPriceId"].startswith(row["SkuId"]):
        found.append("SkuPriceId: of another SkuId")
    return found
