"""Prepared statements say and do what the ordinary way says and does."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError

from swarm.store.prepared import Prepared

TABLES = sa.MetaData()
DISHES = sa.Table(
    "dishes",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("is_hot", sa.Boolean, nullable=False, default=True),
    sa.Column("kept", sa.DateTime, nullable=True),
    sa.Column("course", sa.String, nullable=False, default="main"),
    sa.Column("price", sa.Integer, sa.CheckConstraint("price >= 0"), nullable=False),
)
ADD = Prepared(DISHES.insert())
NAMED = sa.select(DISHES).where(DISHES.c.name == sa.bindparam("of_name"))
AMONG = (
    sa.select(DISHES.c.name, (DISHES.c.price * 2).label("twice"), sa.func.count())
    .where(DISHES.c.course.in_(["main", "last"]), DISHES.c.price > sa.bindparam("above"))
    .group_by(DISHES.c.name)
    .order_by(DISHES.c.name)
)
CHANGE = Prepared(DISHES.update().where(DISHES.c.name == sa.bindparam("of_name")))


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    TABLES.create_all(engine)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def test_what_is_read_is_what_the_ordinary_way_reads(connection: sa.Connection) -> None:
    assert ADD.insert(connection, {"name": "soup", "price": 3, "is_hot": False}) == 1
    assert ADD.insert(connection, {"name": "pie", "price": 5}) == 2
    assert ADD.run(connection, {"price": 7, "name": "ice", "course": "last"}) == 1
    named, among = Prepared(NAMED), Prepared(AMONG)
    for name in ("soup", "pie", "none"):
        values = {"of_name": name}
        assert named.all(connection, values) == connection.execute(NAMED, values).all()
        assert named.first(connection, values) == connection.execute(NAMED, values).first()
    soup = named.one(connection, {"of_name": "soup"})
    assert soup.is_hot is False, "SQLite keeps a number"
    assert (soup.course, soup.kept) == ("main", None), "what nobody names has its default"
    found = among.all(connection, {"above": 3})
    assert (
        found == connection.execute(AMONG, {"above": 3}).all() == [("ice", 14, 1), ("pie", 10, 1)]
    )
    assert found[0].twice == 14
    assert among.scalar(connection, {"above": 9}) is None


def test_a_change_says_how_many_rows_it_met_and_is_undone_with_its_transaction(
    connection: sa.Connection,
) -> None:
    ADD.run(connection, {"name": "soup", "price": 3})
    connection.commit()
    with connection.begin() as transaction:
        assert CHANGE.run(connection, {"of_name": "soup", "price": 4, "is_hot": False}) == 1
        assert CHANGE.run(connection, {"of_name": "pie", "price": 4}) == 0
        transaction.rollback()
    row = Prepared(NAMED).one(connection, {"of_name": "soup"})
    assert (row.price, row.is_hot) == (3, True)


def test_errors_are_those_of_the_ordinary_way(connection: sa.Connection) -> None:
    ADD.run(connection, {"name": "soup", "price": 3})
    for values in ({"name": "soup", "price": 1}, {"name": "pie", "price": -1}):
        with pytest.raises(IntegrityError):
            ADD.run(connection, values)
    connection.exec_driver_sql("DROP TABLE dishes")
    with pytest.raises(OperationalError):
        Prepared(NAMED).first(connection, {"of_name": "soup"})


def test_a_value_that_is_left_out_is_no_value_of_an_earlier_run(connection: sa.Connection) -> None:
    ADD.run(connection, {"name": "soup", "price": 3})
    named = Prepared(NAMED)
    assert named.first(connection, {"of_name": "soup"}) is not None
    with pytest.raises(sa.exc.InvalidRequestError):
        named.first(connection, {"of_nane": "soup"})
