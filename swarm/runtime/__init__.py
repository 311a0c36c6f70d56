"""The room where orders move: taken in, worked in segments, parked, answered, delivered.

`office.py` is the desk for people, `worker.py` the process that works; between them stand only
the database and the `Engine` port. An order's way is cut at each wait for a person: `segments.py`
works one segment, `tasks.py` one task of it.
"""
