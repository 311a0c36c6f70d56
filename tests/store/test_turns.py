"""Writers of two processes stand in line, and what is urgent shortens the other's turn."""

import threading
from pathlib import Path

from swarm.store.database import Store, sqlite_url
from swarm.store.turns import Turns


def test_who_comes_second_writes_when_the_first_is_done(tmp_path: Path) -> None:
    one, other = Turns(tmp_path / "a.db"), Turns(tmp_path / "a.db")
    done: list[str] = []
    waits = threading.Event()

    def second() -> None:
        waits.set()
        with other.mine():
            done.append("second")

    thread = threading.Thread(target=second)
    with one.mine():
        thread.start()
        assert waits.wait(10)
        thread.join(0.05)
        done.append("first")
    thread.join(10)
    one.close()
    other.close()
    assert done == ["first", "second"]


def test_what_is_urgent_in_one_process_is_seen_in_the_other_until_it_had_its_turn(
    tmp_path: Path,
) -> None:
    doorman, worker = Turns(tmp_path / "a.db"), Turns(tmp_path / "a.db")
    assert not worker.is_pressed
    doorman.press()
    assert worker.is_pressed
    with doorman.mine():
        pass
    assert not worker.is_pressed
    doorman.close()
    worker.close()


def test_where_the_files_cannot_be_made_all_goes_on_without_them(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "nowhere" / "a.db")
    turns.press()
    assert not turns.is_pressed
    with turns.mine():
        pass


async def test_an_urgent_write_ends_the_group_that_another_store_writes(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "a.db")
    doorman, worker = Store(url), Store(url)
    worker.write(lambda c: c.exec_driver_sql("CREATE TABLE seen (who TEXT)"))
    began, go_on = threading.Event(), threading.Event()

    def slow(connection: object) -> None:
        began.set()
        assert go_on.wait(10)

    first = worker._writer.put(slow)
    # Of one group with the first, it would run before that one is committed.
    second = worker._writer.put(lambda connection: first.done())
    assert began.wait(10)
    urgent = doorman._writer.put(lambda connection: None, is_urgent=True)
    go_on.set()
    urgent.result(10)
    assert second.result(10)
    doorman.close()
    worker.close()
