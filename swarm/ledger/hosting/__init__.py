"""What machines cost: the bill of what was rented, and whose work it was for.

`events` reads what happened to rented things, `lifecycles` follows each of them, `prices` is a dated
list, and `billing.bill` joins them: a pure function. `terms` says what the host of a running company
costs and `fixing` joins it with the list, `books` keeps what the company used of it, `partition` divides an amount so that nothing is
lost, and `attribution` (over `queries`) answers what an order or a month cost, direct and with its part of the idle
time.

Another provider is a line in `billing.RULES` and in `prices.PROVIDERS`, and rows in
`hostprices.json`; `tests/ledger/test_hosting_bills.py` holds the rules against bills worked out by
hand.
"""
