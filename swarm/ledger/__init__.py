"""The room of money: what every call and every hour costs, and what people would have cost instead.

`metered` is the only way to a model. It asks `prices` for the worst case, `budget` to hold it,
`book` to keep the intent and the answer, and charges before anybody reads. `baseline` says what a
human team would have needed and is frozen before the work; `forecast` says what the work should
cost; `receipt` adds up what it did cost.

To price a model the book does not know, add it under `prices:` in company.yaml, or take it over
with `swarm prices import`. To refresh the book of the package, run
`python -m swarm.ledger.price_sources`; it only ever adds rows, so old calls keep the price they
were made at. Another price source is one module like `import_litellm` that writes the same rows,
its name in `price_sources`, and one test. What providers say of usage is read in
`core.usage_shapes`, one reader per shape, and priced part by part in `pricing`.

A cost source besides models (a server's hours, a vendor's fee, a person's minutes) is one module
that turns what happened into lines with an amount, its currency, its status (`paid`, `notional`
or `unpriced`) and the id of the price line it used. An unknown price is `unpriced`, never zero.
"""
