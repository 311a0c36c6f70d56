"""Bills of rented machines, against bills worked out by hand."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import InvalidInput
from swarm.core.money import CostStatus
from swarm.ledger.hosting.billing import Bill, bill
from swarm.ledger.hosting.events import read_events
from swarm.ledger.hosting.prices import Hole, HostPrices, Wanted

BOOK = HostPrices.load()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def billed(
    *events: dict[str, Any],
    until: str = "2026-07-01T00:00:00Z",
    provider: str | None = "hetzner",
    prices: HostPrices = BOOK,
) -> Bill:
    reading = read_events(json.dumps(events))
    return bill(
        reading.events, prices, until=at(until), provider=provider,
        refused=reading.refused, notes=reading.notes,
    )  # fmt: skip


def amounts(made: Bill) -> list[tuple[str, str, str]]:
    return [(line.month, line.kind, str(line.amount)) for line in made.lines]


def total(made: Bill) -> Decimal:
    assert len(made.totals) == 1, made.totals
    return made.totals[0].amount


def event(what: str, when: str, **more: Any) -> dict[str, Any]:
    return {"at": when, "event": what, "id": "s1", **more}


CX33 = {"server_type": "cx33", "location": "fsn1"}
MAY = "2026-05-01T00:00:00Z"
JUNE = "2026-06-01T00:00:00Z"
PRICED_ANEW = HostPrices.parse(
    json.dumps(
        [
            {"provider": "hetzner", "kind": "server", "type": "cx33", "hourly": "0.0080", "monthly": "4.99",
             "used_until": "2026-04-01"},
            {"provider": "hetzner", "kind": "server", "type": "cx33", "hourly": "0.0104", "monthly": "6.49",
             "used_from": "2026-04-01", "ordered_until": "2026-06-15"},
            {"provider": "hetzner", "kind": "server", "type": "cx33", "hourly": "0.0200", "monthly": "12.00",
             "ordered_from": "2026-06-15"},
        ]
    ),
    name="a list",
)  # fmt: skip


# Twelve lives, each worked out by hand.


def test_a_server_that_is_off_costs_what_one_that_is_on_costs() -> None:
    made = billed(event("created", MAY, **CX33), event("off", "2026-05-02T00:00:00Z"), until=JUNE)
    # 744 h x 0.0104 = 7.7376, more than the month's 6.49.
    assert amounts(made) == [("2026-05", "server", "6.49")]
    assert made.lines[0].quantity == 744
    assert made.lines[0].is_capped


def test_a_minute_costs_an_hour() -> None:
    made = billed(event("created", MAY, **CX33), event("deleted", "2026-05-01T00:01:00Z"))
    assert amounts(made) == [("2026-05", "server", "0.0104")]


@pytest.mark.parametrize(
    ("end", "amount"),
    # 624 h x 0.0104 = 6.4896; the 625th hour would make it 6.5000.
    [("2026-05-27T00:00:00Z", "6.4896"), ("2026-05-27T00:00:01Z", "6.49")],
)
def test_the_month_s_price_cuts_the_hours_from_the_hour_that_passes_it(
    end: str, amount: str
) -> None:
    made = billed(event("created", MAY, **CX33), event("deleted", end))
    assert amounts(made) == [("2026-05", "server", amount)]


def test_an_address_that_is_kept_goes_on_costing_after_its_server() -> None:
    made = billed(
        event("created", MAY, **CX33, ipv4=True),
        event("deleted", "2026-05-03T00:00:00Z"),
        event("ip_kept", "2026-05-03T00:00:00Z"),
        event("ip_deleted", "2026-05-11T00:00:00Z"),
    )
    # 48 h x 0.0104, and 240 h x 0.0008 from the first day on.
    assert amounts(made) == [("2026-05", "server", "0.4992"), ("2026-05", "ipv4", "0.192")]
    assert total(made) == Decimal("0.6912")


def test_hours_over_the_end_of_a_month_are_rounded_up_in_both() -> None:
    made = billed(
        event("created", "2026-05-31T23:30:00Z", **CX33), event("deleted", "2026-06-01T00:30:00Z")
    )
    assert amounts(made) == [("2026-05", "server", "0.0104"), ("2026-06", "server", "0.0104")]


def test_a_rescale_ends_one_size_and_begins_the_other() -> None:
    made = billed(
        event("created", MAY, server_type="cx23", location="fsn1"),
        event("resized", "2026-05-01T10:30:00Z", server_type="cx33"),
        event("deleted", "2026-05-01T20:30:00Z"),
    )
    # 11 begun hours x 0.0064, then 10 x 0.0104.
    assert amounts(made) == [("2026-05", "server", "0.0704"), ("2026-05", "server", "0.104")]


def test_a_price_for_everybody_changes_on_its_day_and_one_for_new_orders_does_not() -> None:
    old = billed(
        event("created", "2026-03-31T20:00:00Z", **CX33),
        event("deleted", "2026-04-01T04:00:00Z"),
        prices=PRICED_ANEW,
    )
    assert amounts(old) == [("2026-03", "server", "0.032"), ("2026-04", "server", "0.0416")]
    kept = billed(
        event("created", "2026-06-14T20:00:00Z", **CX33),
        event("deleted", "2026-06-15T20:00:00Z"),
        prices=PRICED_ANEW,
    )
    assert amounts(kept) == [("2026-06", "server", "0.2496")]
    fresh = billed(
        event("created", "2026-06-15T00:00:00Z", **CX33),
        event("deleted", "2026-06-15T10:00:00Z"),
        prices=PRICED_ANEW,
    )
    assert amounts(fresh) == [("2026-06", "server", "0.2")]


def test_a_rescale_is_a_new_order_at_the_price_of_its_day() -> None:
    made = billed(
        event("created", "2026-06-14T20:00:00Z", **CX33),
        event("resized", "2026-06-15T00:00:00Z", server_type="cx33"),
        event("deleted", "2026-06-15T10:00:00Z"),
        prices=PRICED_ANEW,
    )
    assert amounts(made) == [("2026-06", "server", "0.0416"), ("2026-06", "server", "0.2")]


def test_scaleway_rests_the_machine_while_it_is_off_and_bills_disk_and_address_on() -> None:
    made = billed(
        event("created", MAY, server_type="DEV1-M", zone="fr-par-1", ipv4=True, volume_gb=20),
        event("off", "2026-05-01T09:20:00Z"),
        event("on", "2026-05-03T00:00:00Z"),
        event("deleted", "2026-05-04T00:00:00Z"),
        provider="scaleway",
    )
    # (10 + 24) h x 0.0256; 72 h x 20 GB x 0.000118; 72 h x 0.004.
    assert amounts(made) == [
        ("2026-05", "server", "0.8704"), ("2026-05", "ipv4", "0.288"), ("2026-05", "volume", "0.16992")
    ]  # fmt: skip


def test_a_volume_that_is_kept_costs_its_part_of_each_month() -> None:
    made = billed(
        event("created", "2026-04-16T00:00:00Z", **CX33, volume_gb=50),
        event("deleted", "2026-04-17T00:00:00Z", volume_kept=True),
        {"at": JUNE, "event": "volume_deleted", "server": "s1"},
    )
    # 50 GB x 0.0572 = 2.86 a month: half of April, all of May.
    assert amounts(made) == [
        ("2026-04", "server", "0.2496"), ("2026-04", "volume", "1.43"), ("2026-05", "volume", "2.86")
    ]  # fmt: skip


def test_a_scaleway_address_costs_a_cent_at_least() -> None:
    made = billed(
        {"at": MAY, "event": "ipv4_created", "id": "ip"},
        {"at": "2026-05-01T00:30:00Z", "event": "ipv4_deleted", "id": "ip"},
        provider="scaleway",
    )
    assert amounts(made) == [("2026-05", "ipv4", "0.01")]
    assert made.lines[0].reason == "at least 0.01 EUR a month"


def test_half_a_february_of_own_hardware_is_half_its_price_in_a_leap_year_too() -> None:
    for year, middle in (("2026", "15T00:00:00"), ("2028", "15T12:00:00")):
        made = billed(
            event("created", f"{year}-02-01T00:00:00Z", price_month="29.00"),
            event("deleted", f"{year}-02-{middle}Z"),
            provider="own", until="2028-07-01T00:00:00Z",
        )  # fmt: skip
        assert amounts(made) == [(f"{year}-02", "server", "14.5")]
        assert made.status is CostStatus.NOTIONAL


def test_an_hour_that_a_clock_repeats_is_counted_by_utc() -> None:
    # In the night of 2026-10-25 clocks in Berlin go from 3:00 back to 2:00: two hours pass.
    made = billed(
        event("created", "2026-10-25T02:00:00+02:00", price_month="74.4"),
        event("deleted", "2026-10-25T03:00:00+01:00"),
        provider="own",
        until="2026-11-01T00:00:00Z",
    )
    assert made.totals[0].amount == Decimal("0.2")


# More rules.


def test_traffic_costs_beyond_what_is_included_and_ipv6_costs_nothing() -> None:
    made = billed(
        event("created", MAY, **CX33),
        event("traffic", "2026-05-20T00:00:00Z", tb="15"),
        event("traffic", "2026-05-21T00:00:00Z", gb=7500),
        until=JUNE,
    )
    assert amounts(made) == [("2026-05", "server", "6.49"), ("2026-05", "traffic", "2.5")]


def test_backups_cost_a_part_of_their_server() -> None:
    made = billed(event("created", MAY, **CX33, backups=True), until=JUNE)
    assert amounts(made) == [("2026-05", "server", "6.49"), ("2026-05", "backup", "1.298")]


def test_net_and_gross_and_two_currencies_are_never_added() -> None:
    made = billed(
        event("created", MAY, price_month="10", currency="EUR"),
        event("created", MAY, price_month="10", tax="gross") | {"id": "s2"},
        event("created", MAY, price_month="10", currency="USD") | {"id": "s3"},
        until=JUNE,
    )
    assert [(str(t.amount), t.currency, t.tax) for t in made.totals] == [
        ("10", "EUR", "gross"), ("10", "EUR", "net"), ("10", "USD", "net")
    ]  # fmt: skip


def test_the_provider_s_own_price_list_is_read_net_or_gross() -> None:
    document = {
        "pricing": {
            "currency": "EUR", "vat_rate": "19.00",
            "server_types": [{"name": "cx99", "prices": [{
                "location": "fsn1",
                "price_hourly": {"net": "0.0100", "gross": "0.0119"},
                "price_monthly": {"net": "6.0000", "gross": "7.1400"},
                "included_traffic": 21990232555520,
                "price_per_tb_traffic": {"net": "1.00", "gross": "1.19"}}]}],
            "primary_ips": [{"type": "ipv4", "prices": [{
                "location": "fsn1", "price_hourly": {"net": "0.0008", "gross": "0.000952"},
                "price_monthly": {"net": "0.5", "gross": "0.595"}}]}],
            "volume": {"price_per_gb_month": {"net": "0.05", "gross": "0.0595"}},
            "image": {"price_per_gb_month": {"net": "0.01", "gross": "0.0119"}},
            "server_backup": {"percentage": "20.00"},
        }
    }  # fmt: skip
    for tax, amount in (("net", "6.5"), ("gross", "7.735")):
        prices = HostPrices.parse(json.dumps(document), name="theirs", tax=tax).over(BOOK)
        made = billed(
            event("created", "2026-07-01T00:00:00Z", server_type="cx99", location="fsn1", ipv4=True),
            until="2026-08-01T00:00:00Z", prices=prices,
        )  # fmt: skip
        assert total(made) == Decimal(amount)
        assert made.totals[0].tax == tax


def test_a_file_of_another_dialect_says_the_same() -> None:
    ours = billed(
        event("created", MAY, **CX33, ipv4=True), event("off", "2026-05-02T00:00:00Z"),
        event("deleted", "2026-05-03T00:00:00Z", ip_kept=True), until=JUNE,
    )  # fmt: skip
    theirs = billed(
        {"timestamp": 1777593600, "type": "server.created", "server_id": 7, "instance_type": "CX33",
         "datacenter": "fsn1-dc14"},
        {"timestamp": "2026-05-01T02:00:00+02:00", "type": "primary_ip-attached", "ip_id": 9, "server_id": 7},
        {"timestamp": "2026-05-02 00:00:00", "type": "Power Off", "server_id": 7},
        {"timestamp": "2026-05-03T00:00:00Z", "type": "terminated", "server_id": 7},
        until=JUNE,
    )  # fmt: skip
    assert amounts(theirs) == amounts(ours)
    assert not theirs.refused
    assert theirs.notes == ("event 3: its time has no zone and is read as UTC",)


# What is wrong stays, and is said.


def test_a_hole_in_the_list_leaves_the_line_unpriced_and_the_total_a_lower_bound() -> None:
    made = billed(
        event("created", "2026-06-20T00:00:00Z", **CX33, ipv4=True), until="2026-06-21T00:00:00Z"
    )
    line = made.lines[0]
    assert line.amount is None
    assert (line.status, line.quantity) == (CostStatus.UNPRICED, Decimal(24))
    assert line.reason is not None
    assert "ordered on 2026-06-20 has no price" in line.reason
    assert total(made) == Decimal("0.0192")
    assert made.is_at_least
    assert made.status is CostStatus.UNPRICED


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([event("created", MAY, server_type="cx99")], "cx99 is not in the list"),
        ([event("created", MAY)], "the size of the server is not said"),
        ([event("created", MAY, **CX33, provider="clowd")], "no rules are known for the provider 'clowd'"),
        ([event("on", MAY, **CX33)], "when 's1' was made is not in the file"),
        ([event("created", MAY, **CX33), event("volume_created", MAY) | {"id": "v"}], "add size_gb"),
        (
            [event("deleted", MAY), event("created", "2026-05-02T00:00:00Z", **CX33)],
            "before it was made",
        ),
    ],
)  # fmt: skip
def test_what_has_no_price_is_a_line_with_a_reason(events: list[Any], words: str) -> None:
    made = billed(*events, until=JUNE)
    assert made.is_at_least
    reasons = [line.reason or "" for line in made.lines if line.status is CostStatus.UNPRICED]
    assert len(reasons) == 1
    assert words in reasons[0]
    assert all(line.amount is None for line in made.lines if line.status is CostStatus.UNPRICED)


@pytest.mark.parametrize(
    ("given_event", "words", "may_cost"),
    [
        (event("deleted", "2026-05-03T00:00:00Z"), "deleted already", False),
        (event("on", "2026-05-03T00:00:00Z"), "this changes nothing", True),
        (event("created", "2026-07-01T00:00:01Z", **CX33), "after the end of the bill", False),
        (event("created", "2026-05-01T12:00:00Z", **CX33), "exists already", True),
        (event("exploded", MAY), "is no event known here", True),
        (event("off", "yesterday"), "is no time", True),
        (event("off", "1970-01-01T00:00:00Z"), "was not set", True),
        ({"event": "off"}, "does not say when", True),
        ({"at": MAY}, "does not say what happened", True),
        (event("created", MAY, price_month="-1") | {"id": "x"}, "at least 0", True),
        (event("volume_created", MAY, size_gb="many") | {"id": "x"}, "no number", True),
        (event("resized", "2026-05-01T12:00:00Z"), "what the new size is", True),
        (event("traffic", MAY), "how much", True),
        ("created", "no JSON object", True),
    ],
)
def test_an_event_that_cannot_be_used_comes_back_with_a_sentence(
    given_event: Any, words: str, may_cost: bool
) -> None:
    made = billed(
        event("created", MAY, **CX33), event("deleted", "2026-05-02T00:00:00Z"), given_event
    )
    assert [words in item.reason for item in made.refused] == [True]
    assert made.is_at_least is may_cost
    # What was right is billed all the same.
    assert total(made) == Decimal("0.2496")


def test_what_is_said_twice_is_counted_once_and_a_jumping_clock_is_noted() -> None:
    created, gone = event("created", MAY, **CX33), event("deleted", "2026-05-02T00:00:00Z")
    made = billed(gone, created, created)
    assert total(made) == Decimal("0.2496")
    assert len(made.notes) == 2
    assert "older than the one before it" in made.notes[0]
    assert "said before and is counted once" in made.notes[1]


def test_lines_of_a_file_are_read_one_by_one_and_a_bad_one_alone_is_refused() -> None:
    text = "\n".join([json.dumps(event("created", MAY, **CX33)), "{broken", "", "[1]", "7"])
    reading = read_events(text)
    assert len(reading.events) == 1
    assert [item.line for item in reading.refused] == [2, 4, 5]


def test_a_price_list_with_a_fault_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidInput, match="row 1: hourly"):
        HostPrices.parse('[{"provider": "hetzner", "kind": "server", "hourly": "-1"}]', name="x")
    with pytest.raises(InvalidInput, match="needs hourly"):
        HostPrices.parse('[{"provider": "hetzner", "kind": "server"}]', name="x")
    with pytest.raises(InvalidInput, match="no JSON"):
        HostPrices.parse("{", name="x")


def test_two_prices_for_one_thing_are_none_until_the_place_is_said() -> None:
    wanted = Wanted("scaleway", "server", "pop2-2c-8g", None, at(MAY))
    found = BOOK.find(wanted, at(MAY))
    assert isinstance(found, Hole)
    assert "say the location" in found.reason


def test_every_row_of_the_list_names_its_source_and_the_day_it_was_read() -> None:
    assert len(BOOK.rows) > 80
    assert all(row.source and row.read for row in BOOK.rows)
    assert len({(row.id, row.locations) for row in BOOK.rows}) == len(BOOK.rows)


# Whatever comes in, something sound comes out.

_WORDS = st.sampled_from(
    ["created", "on", "off", "resized", "deleted", "ip_kept", "volume_kept", "volume_created",
     "ipv4_created", "ipv4_deleted", "detached", "traffic", "reboot", "nonsense", ""]
)  # fmt: skip
_EVENTS = st.fixed_dictionaries(
    {"event": _WORDS, "at": st.integers(1772323200, 1790000000)},
    optional={
        "id": st.sampled_from(["s1", "s2", "v1"]),
        "server_type": st.sampled_from(["cx33", "cx23", "dev1-m", "cx99"]),
        "location": st.sampled_from(["fsn1", "mars", ""]),
        "size_gb": st.one_of(st.integers(-5, 500), st.text(max_size=3)),
        "ipv4": st.booleans(),
        "price_month": st.one_of(st.decimals(-1, 100, places=2).map(str), st.none()),
        "tb": st.integers(0, 50),
    },
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_EVENTS, max_size=12), st.sampled_from(["hetzner", "scaleway", "own", None]))
def test_no_event_is_lost_and_nothing_unknown_is_zero(
    events: list[dict[str, Any]], provider: str | None
) -> None:
    made = billed(*events, until="2026-09-01T00:00:00Z", provider=provider)
    for line in made.lines:
        assert line.ends_at >= line.begins_at
        assert (line.amount is None) is (line.status is CostStatus.UNPRICED)
        assert line.amount is not None or line.reason
        assert line.amount is None or line.amount >= 0
    known: dict[tuple[str, str], Decimal] = {}
    for line in made.lines:
        if line.amount is not None and line.currency and line.tax:
            key = (line.currency, line.tax)
            known[key] = known.get(key, Decimal(0)) + line.amount
    assert {(t.currency, t.tax): t.amount for t in made.totals} == known


@settings(max_examples=100, deadline=None)
@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_read_without_a_fault(text: str) -> None:
    reading = read_events(text)
    made = bill(reading.events, BOOK, until=at(MAY), refused=reading.refused)
    assert len(made.refused) >= len(reading.refused)
