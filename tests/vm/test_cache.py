"""The cache: named by content, whole or not at all, and emptied of nothing but its own."""

from __future__ import annotations

import os
import threading
import time

import pytest

from vxlab.errors import VxlabError
from vxlab.vm import cache


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept(kind):
    """What is in a folder of the cache, but for the mark on it."""
    return sorted(set(os.listdir(cache.part(kind))) - {"CACHEDIR.TAG"})


def test_a_key_stands_for_content_and_order(tmp_path):
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    one.write_text("a")
    same.write_text("a")
    other.write_text("b")
    assert cache.key(one, "x") == cache.key(same, "x")
    different = [(one, "x"), (other, "x"), (one, "y"), ("x", one), (one,), ("ax",), ("a", "x")]
    assert len({cache.key(*parts) for parts in different}) == len(different)
    other.write_text("aa")
    assert cache.key(one, other) != cache.key(other, one), "where one ends counts"


def test_what_is_kept_is_made_once(folder):
    made = []

    def make(place):
        made.append(place)
        (place / "file").write_text("x")

    first, second = (cache.keep("roots", "one", make) for _ in "12")
    assert first == second == folder / "roots/one"
    assert (first / "file").read_text() == "x"
    assert len(made) == 1


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
def test_what_is_half_made_is_not_kept(error, folder):
    def make(place):
        (place / "half").touch()
        raise error

    with pytest.raises(error):
        cache.keep("roots", "one", make)
    assert kept("roots") == []
    cache.keep("roots", "one", lambda place: (place / "whole").touch())
    assert [x.name for x in (folder / "roots/one").iterdir()] == ["whole"]


def test_a_maker_that_was_killed_is_no_obstacle(folder):
    child = os.fork()
    if child == 0:
        cache.keep("roots", "one", lambda _: os.kill(os.getpid(), 9))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert not (folder / "roots/one").exists()
    assert cache.keep("roots", "one", lambda _: None).is_dir()


def test_makers_at_the_same_time_make_one(folder):
    made, found, begin = [], [], threading.Barrier(4)

    def make(place):
        made.append(place)
        (place / "file").write_text(str(len(made)))

    def ask():
        begin.wait()
        found.append((cache.keep("roots", "one", make) / "file").read_text())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["1"] * 4
    assert len(made) == 1


def test_what_was_found_is_believed_while_it_is_fresh(folder):
    asked = []

    def find():
        asked.append(1)
        return cache.keep("kernels", f"number{len(asked)}", lambda _: None)

    def last():
        return cache.remember("kernels", "6.1", find).name

    assert [last(), last()] == ["number1"] * 2
    note = folder / "kernels/found/6.1"
    os.utime(note, (0, time.time() - cache.FRESH - 60))
    assert [last(), last()] == ["number2"] * 2
    (folder / "kernels/number2").rmdir()
    assert last() == "number3"


def test_without_a_mirror_the_last_one_is_good_however_old(folder):
    def fail():
        raise VxlabError("no network")

    with pytest.raises(VxlabError, match="no network"):
        cache.remember("kernels", "6.1", fail)
    cache.remember("kernels", "6.1", lambda: cache.keep("kernels", "one", lambda _: None))
    os.utime(folder / "kernels/found/6.1", (0, 0))
    assert cache.remember("kernels", "6.1", fail).name == "one"


def test_a_reader_sees_the_old_text_or_the_new(folder):
    path = cache.part("apt") / "note"
    cache.write(path, "old")
    with path.open() as reader:
        cache.write(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert kept("apt") == ["note"]


def test_clean_removes_what_machines_keep_and_nothing_else(folder):
    for kind in (*cache._KINDS, "tools", "another's"):
        place = cache.part(kind, "below") if kind in cache._KINDS else folder / kind / "below"
        place.mkdir(parents=True, exist_ok=True)
        (place / "file").write_bytes(b"x" * 8192)
    size, left = cache.clean()
    assert size >= 8192 * len(cache._KINDS)
    assert left == []
    assert sorted(x.name for x in folder.iterdir()) == ["another's", "tools"]
    assert (folder / "tools/below/file").stat().st_size == 8192
    assert cache.clean() == (0, [])


@pytest.mark.parametrize("kind", cache._KINDS)
@pytest.mark.parametrize("used", [False, True])
def test_clean_leaves_what_another_has_put_there_before(kind, used, folder):
    (folder / kind).mkdir(parents=True)
    (folder / kind / "thesis").write_text("one's own")
    if used:
        cache.write(cache.part(kind) / "note", "vxlab's")
    assert cache.clean()[1] == [folder / kind]
    assert (folder / kind / "thesis").read_text() == "one's own"


def test_clean_follows_no_link(folder, tmp_path):
    cache.part("kernels")
    (folder / "kernels").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/thesis").touch()
    (folder / "kernels").symlink_to(tmp_path / "elsewhere")
    assert cache.clean()[1] == [folder / "kernels"]
    assert (tmp_path / "elsewhere/thesis").exists()


@pytest.mark.parametrize("tag", ["", "Signature: 8a477f597d28d172789f06886806bc55\n# by cargo\n"])
def test_a_mark_of_another_program_is_none_of_vxlabs(tag, folder):
    (folder / "kernels").mkdir(parents=True)
    (folder / "kernels/CACHEDIR.TAG").write_text(tag)
    (folder / "kernels/thesis").touch()
    cache.part("kernels")
    assert cache.clean()[1] == [folder / "kernels"]


def test_in_the_place_that_is_vxlabs_by_name_all_is_its_own(monkeypatch, tmp_path):
    """Also what versions without a mark have put there."""
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "vxlab/kernels/old").mkdir(parents=True)
    cache.part("kernels")
    assert cache.clean()[1] == []
    assert list((tmp_path / "vxlab").iterdir()) == []


@pytest.mark.parametrize("place", ["file/below", "file"])
def test_a_folder_that_cannot_be_made_is_named(place, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / place))
    with pytest.raises(VxlabError, match=rf"write to the folder .*{place}.*set VXLAB_CACHE to"):
        cache.part("roots")


def test_a_folder_of_another_user_is_named(folder, monkeypatch):
    folder.mkdir()
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(VxlabError, match=r"Permission denied: set VXLAB_CACHE to another"):
        cache.part()


def test_where_it_is_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    answers = {}
    for uid, writable in ((0, True), (0, False), (1000, True)):
        monkeypatch.setattr("os.geteuid", lambda uid=uid: uid)
        monkeypatch.setattr("os.access", lambda *_, writable=writable: writable)
        answers[uid, writable] = str(cache.folder())
    own = str(tmp_path / "vxlab")
    assert answers == {(0, True): "/var/cache/vxlab", (0, False): own, (1000, True): own}
