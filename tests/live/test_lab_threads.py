"""Labs are used from several threads at once."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lab_tools import two_hosts
from resource_tools import nothing_left

from vxlab.errors import CommandError, VxlabError
from vxlab.live.lab import Lab
from vxlab.operations import AddFdb, DelLink, SetLink


def test_a_lab_is_used_from_several_threads(lab: Lab) -> None:
    def work(number: int) -> str:
        node = lab["h1" if number % 2 else "h2"]
        there = "172.16.0.2" if number % 2 else "172.16.0.1"
        mac = f"02:00:00:00:00:{number:02x}"
        lab.apply(AddFdb("h1", "vxlan0", mac, "10.0.0.2"), SetLink("h2", "eth0", up=True))
        assert node.ping(there, timeout=10)
        assert node.sysctl("net.ipv4.ip_forward") == "0"
        assert node.state.name == node.name
        return node.run("echo", str(number)).stdout

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(32))) == [f"{number}\n" for number in range(32)]
        pool.shutdown()
    macs = {row["mac"] for row in lab["h1"].bridge("fdb", "show", "dev", "vxlan0")}
    assert {f"02:00:00:00:00:{number:02x}" for number in range(32)} <= macs


def test_recorders_are_emptied_by_one_thread_at_a_time(tmp_path: Path) -> None:
    """Each has one buffer, which two threads at once would mix their frames in."""
    meeting = threading.Barrier(2)
    met = []

    def drain() -> int:
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(0.2)
            met.append(threading.current_thread().name)
        return 0

    with nothing_left(tmp_path / "temp"), Lab(two_hosts(), recorder=True) as lab:
        recorder = lab.recorders["h1"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recorder, "drain", drain)
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda name: lab[name].run("true"), ("h1", "h2")))
        assert met == []


def test_labs_are_opened_by_several_threads(tmp_path: Path) -> None:
    def work(number: int) -> bool:
        topology = two_hosts().with_vtep("h1", "red", addresses=(f"172.16.0.{100 + number}/24",))
        with Lab(topology) as lab:
            return bool(lab["h2"].ping(f"172.16.0.{100 + number}", timeout=10))

    with nothing_left(tmp_path / "temp"), ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))
        pool.shutdown()


def test_records_and_errors_stay_with_the_lab_of_their_thread(tmp_path: Path) -> None:
    """Also where all work is done by the same workers."""
    meeting = threading.Barrier(4)

    def work(number: int) -> set[bytes]:
        with Lab(two_hosts(), recorder=True) as lab:
            meeting.wait(60)
            for _ in range(5):
                with pytest.raises(CommandError, match=f"ended with {number}: thread {number}$"):
                    lab["h1"].run("sh", "-c", f"echo thread {number} >&2; exit {number}")
                with pytest.raises(VxlabError, match=f"wanted the interface 'no{number}', found"):
                    lab.apply(DelLink("h1", f"no{number}"))
                lab["h1"].send_marked("10.0.0.2", f"from {number}".encode())
            frames = lab.recorders["h1"].frames
        return {payload for frame in frames if (payload := frame.mark) is not None}

    with nothing_left(tmp_path / "temp"), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(1, 5))) == [{f"from {n}".encode()} for n in range(1, 5)]
        pool.shutdown()


def test_a_lab_is_opened_in_one_thread_and_closed_in_another(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        lab = Lab(two_hosts()).open()
        lab["h1"].run("true")
        thread = threading.Thread(target=lab.close)
        thread.start()
        thread.join(30)
        assert len(lab) == 0
