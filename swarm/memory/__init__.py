"""The room of memory: what the company remembers of past orders, of people and of its customers.

`base.py` says what a memory does and who may see what; `rules.py` ranks; `words.py` finds words
again in English and French; `shown.py` puts memories before a reader. Another memory is one module
with a class that has the methods of `base.Memory`; the contract suite is
`tests/contracts/test_memory.py`. Another database is one more class in `search.py`.
"""
