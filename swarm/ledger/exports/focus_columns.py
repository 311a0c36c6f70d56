"""The columns of FOCUS 1.2 that a company of agents has something to say in, as a table.

Left out are those of concepts that no charge here has: capacity reservations, regions, sub accounts,
provisioned resources. Commitment discounts are there and empty, because rules of other columns name
them. Source: FOCUS
Specification 1.2, Cost and Usage dataset, https://focus.finops.org/focus-specification/v1-2/.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "string"
    DECIMAL = "decimal"
    MOMENT = "date/time"
    FLAG = "boolean"
    JSON = "json"


class Column(NamedTuple):
    """One column."""

    name: str
    kind: Kind
    is_nullable: bool
    values: tuple[str, ...] = ()
    """The allowed ones; empty allows any."""


def _column(name: str, kind: Kind, *values: str, null: bool = False) -> Column:
    return Column(name, kind, null, values)


SERVICE_CATEGORY, SERVICE_SUBCATEGORY = "AI and Machine Learning", "Generative AI"

COLUMNS = (
    _column("BilledCost", Kind.DECIMAL),
    _column("BillingAccountId", Kind.TEXT),
    _column("BillingAccountName", Kind.TEXT, null=True),
    _column("BillingCurrency", Kind.TEXT),
    _column("BillingPeriodEnd", Kind.MOMENT),
    _column("BillingPeriodStart", Kind.MOMENT),
    _column("ChargeCategory", Kind.TEXT, "Usage", "Purchase", "Tax", "Credit", "Adjustment"),
    _column("ChargeClass", Kind.TEXT, "Correction", null=True),
    _column("ChargeDescription", Kind.TEXT, null=True),
    _column("ChargeFrequency", Kind.TEXT, "One-Time", "Recurring", "Usage-Based"),
    _column("ChargePeriodEnd", Kind.MOMENT),
    _column("ChargePeriodStart", Kind.MOMENT),
    *(
        _column(f"CommitmentDiscount{name}", kind, null=True)
        for name, kind in (
            ("Category", Kind.TEXT),
            ("Id", Kind.TEXT),
            ("Name", Kind.TEXT),
            ("Quantity", Kind.DECIMAL),
            ("Status", Kind.TEXT),
            ("Type", Kind.TEXT),
            ("Unit", Kind.TEXT),
        )
    ),
    _column("ConsumedQuantity", Kind.DECIMAL, null=True),
    _column("ConsumedUnit", Kind.TEXT, null=True),
    _column("ContractedCost", Kind.DECIMAL),
    _column("ContractedUnitPrice", Kind.DECIMAL, null=True),
    _column("EffectiveCost", Kind.DECIMAL),
    _column("InvoiceId", Kind.TEXT, null=True),
    _column("InvoiceIssuerName", Kind.TEXT),
    _column("ListCost", Kind.DECIMAL),
    _column("ListUnitPrice", Kind.DECIMAL, null=True),
    _column("PricingCategory", Kind.TEXT, "Standard", "Dynamic", "Committed", "Other", null=True),
    _column("PricingCurrency", Kind.TEXT, null=True),
    _column("PricingCurrencyContractedUnitPrice", Kind.DECIMAL, null=True),
    _column("PricingCurrencyEffectiveCost", Kind.DECIMAL, null=True),
    _column("PricingCurrencyListUnitPrice", Kind.DECIMAL, null=True),
    _column("PricingQuantity", Kind.DECIMAL, null=True),
    _column("PricingUnit", Kind.TEXT, null=True),
    _column("ProviderName", Kind.TEXT),
    _column("PublisherName", Kind.TEXT),
    _column("ServiceCategory", Kind.TEXT, SERVICE_CATEGORY),
    _column("ServiceName", Kind.TEXT),
    _column("ServiceSubcategory", Kind.TEXT, SERVICE_SUBCATEGORY),
    _column("SkuId", Kind.TEXT, null=True),
    _column("SkuMeter", Kind.TEXT, null=True),
    _column("SkuPriceDetails", Kind.JSON, null=True),
    _column("SkuPriceId", Kind.TEXT, null=True),
    _column("Tags", Kind.JSON, null=True),
    # Ours, after all others as the specification wishes.
    _column("x_Unpriced", Kind.FLAG),
    _column("x_CostStatus", Kind.TEXT, "paid", "notional", "unpriced"),
    _column("x_LedgerCost", Kind.DECIMAL),
    _column("x_LedgerId", Kind.TEXT),
    _column("x_AttemptState", Kind.TEXT),
    _column("x_AnsweredModel", Kind.TEXT, null=True),
)
NAMES = tuple(column.name for column in COLUMNS)
