"""The room of the database: one file (or one Postgres) holds the company and its engine.

Tables are declared in `tables/`; a change of them is a new file in `migrations/versions/` and a
case in `tests/store/`. Rooms above write and read through `Store` with plain SQLAlchemy Core.
"""
