"""Folders to make things in: gone afterwards, and swept where who made them was killed."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from vxlab.vm import workplace


def killed_in(parent):
    """A process that is killed in a workplace of its own."""
    child = os.fork()
    if child == 0:
        with workplace.workplace(parent) as place:
            (place / "large").write_bytes(b"x")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_it_is_empty_and_gone_afterwards(tmp_path):
    with workplace.workplace(tmp_path) as place:
        assert os.listdir(place) == []
        (place / "below").mkdir()
        (place / "kept").write_text("x")
        (place / "kept").rename(tmp_path / "kept")
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
def test_it_is_gone_after_an_error(error, tmp_path):
    def make():
        with workplace.workplace(tmp_path) as place:
            (place / "file").touch()
            raise error

    with pytest.raises(error):
        make()
    assert os.listdir(tmp_path) == []


def test_what_was_left_by_who_was_killed_is_swept_and_no_other(tmp_path):
    (tmp_path / "another's").mkdir()
    (tmp_path / ".vxlab-half-made-link").symlink_to("another's")
    killed_in(tmp_path)
    with workplace.workplace(tmp_path) as place:
        assert len(os.listdir(tmp_path)) == 4
        workplace.sweep(tmp_path)
        assert place.is_dir()
        assert len(os.listdir(tmp_path)) == 3
    assert sorted(os.listdir(tmp_path)) == [".vxlab-half-made-link", "another's"]


def test_where_there_is_nothing_nothing_is_swept(tmp_path):
    workplace.sweep(tmp_path / "none")


def test_sweepers_do_not_take_what_is_just_being_made(tmp_path):
    over, wrong = threading.Event(), []

    def sweep():
        while not over.is_set():
            workplace.sweep(tmp_path)

    def make():
        for _ in range(100):
            with workplace.workplace(tmp_path) as place:
                try:
                    (place / "file").touch()
                except OSError as error:
                    wrong.append(error)

    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    makers = [threading.Thread(target=make) for _ in range(2)]
    for thread in sweepers + makers:
        thread.start()
    for thread in makers:
        thread.join()
    over.set()
    for thread in sweepers:
        thread.join()
    assert wrong == []
    assert os.listdir(tmp_path) == []
