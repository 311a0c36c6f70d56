"""The room of the farm: where instances of the company live.

`base` says what a driver does and which rules it keeps; a place is one class with those verbs, a line
in `registry` and a field of `config.FarmConfig`. `farm` is what `swarm farm` does, whatever the place;
`journal` and `records` are its books, `reconcile` holds them against what there is. The contract suite
is `tests/contracts/test_farm.py`; `fake` passes it in memory, `docker` on a real engine.
"""
