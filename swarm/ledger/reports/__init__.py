"""What a week or a month cost, and whether it pays.

`sums` reads narrow rows that the database keeps beside the ledger; `build` makes a period of them;
`economics`, `curve` and `shock` are pure functions over those; `document` is what programs see;
`check` holds the narrow rows against the ledger itself. A new figure is a field of `document` and
a function that fills it.
"""
