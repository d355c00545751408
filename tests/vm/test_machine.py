"""A guest's end is told as what it was; QEMU is a script here, test_boots.py has the real one."""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import replace

import pytest
from fake_machine import install

from vxlab.errors import MissingProgram
from vxlab.vm import cache, kvm
from vxlab.vm.guest import ExitKind
from vxlab.vm.machine import Machine

#: (what QEMU does, how that ended, exit code, part of the reason)
ENDS = {
    "done": ("up; ends 0", ExitKind.DONE, 0, ""),
    "code": ("up; ends 7", ExitKind.DONE, 7, ""),
    "panic": (
        'up; echo "[ 1.0] Kernel panic - not syncing: sysrq triggered crash" >$log',
        *(ExitKind.CRASHED, None, "Kernel panic - not syncing: sysrq triggered crash"),
    ),
    "oops": (
        'up; echo "[ 1.0] BUG: unable to handle" >$log',
        ExitKind.CRASHED,
        None,
        "BUG: unable",
    ),
    "early panic": (
        'echo "[ 1.0] Kernel panic - not syncing: VFS" >$log',
        *(ExitKind.NO_BOOT, None, "not syncing: VFS (before any command)"),
    ),
    "silent": ("echo first >$log; echo last >>$log", ExitKind.NO_BOOT, None, "ends with: last"),
    "no log": (":", ExitKind.NO_BOOT, None, "ends with: nothing"),
    "reset": ("up", ExitKind.CRASHED, None, "it ended without a result"),
    "refused": ("echo no such disk >&2; exit 1", ExitKind.NO_BOOT, None, "with 1: no such disk"),
    "refused later": ("up; exit 1", ExitKind.LOST, None, "QEMU ended with 1: no word"),
    "killed": ("up; kill -9 $$", ExitKind.LOST, None, "QEMU was ended by SIGKILL"),
    "full": (
        """up; say '{"guest": "full", "value": "/tmp"}'; ends 0""",
        *(ExitKind.FULL, 0, "nothing is left in its /tmp"),
    ),
    "trouble": (
        """up; say '{"guest": "trouble", "value": "not packed"}'; ends 0""",
        *(ExitKind.FULL, 0, "trouble: not packed"),
    ),
    "cut off": ("""up; say '{"guest": "exit", "val'""", ExitKind.CRASHED, None, "without a result"),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_end_is_told_as_what_it_was(name, tmp_path, monkeypatch):
    body, end, code, reason = ENDS[name]
    guest = install(tmp_path, monkeypatch, body)
    with Machine(guest, deadline=60, kvm=False) as running:
        ended = running.run()
    assert (ended.kind, ended.code) == (end, code)
    assert reason in ended.reason
    assert bool(ended.reason) == (end is not ExitKind.DONE)
    assert (ended.booted is None) == (end is ExitKind.NO_BOOT)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        *("[]", "7", "null", '"text"', "[" * 100_000, "9" * 5000, "NaN", "{}{}", "{}"),
        *('{"guest": "exit"}', '{"guest": "exit", "value": "x"}', '{"guest": "exit", "value": []}'),
        *('{"guest": "exit", "value": -1}', '{"guest": "exit", "value": 1e400}'),
        *('{"guest": "exit", "value": 256}', '{"guest": "exit", "value": true}'),
        *(
            '{"guest": "full"}',
            '{"guest": "fault", "value": 99}',
            '{"guest": "fault", "value": []}',
        ),
        *('{"guest": "ready"}', '{"guest": []}', '{"guest": null}', '{"guest": "trouble"}'),
    ],
    ids=lambda line: line[:40],
)
def test_a_malformed_line_is_passed_over(line, tmp_path, monkeypatch):
    (tmp_path / "line").write_text(line)
    guest = install(tmp_path, monkeypatch, f'up; say "$(cat {tmp_path}/line)"; ends 7')
    with Machine(guest, deadline=60, kvm=False) as running:
        ended = running.run()
    assert (ended.kind, ended.code, ended.reason, ended.fault) == (ExitKind.DONE, 7, "", "")


def test_a_comma_in_a_path_is_a_part_of_it(tmp_path, monkeypatch):
    """As in QEMU's manual: a comma in a value is written twice."""
    guest = install(tmp_path, monkeypatch, 'printf "%s\\n" "$@" >$out; up; ends 0')
    root = tmp_path / "a,b,,c"
    root.touch()
    output = []
    guest = replace(guest, root=root)
    with Machine(guest, deadline=60, kvm=False, output=output.append) as running:
        running.run()
    words = b"".join(output).decode().splitlines()
    (word,) = [word for word in words if "a,,b" in word]
    assert word.startswith(f"file={tmp_path}/a,,b,,,,c,format=raw,")


@pytest.mark.parametrize(
    ("body", "end", "reason"),
    [
        ("up; exec sleep 1000", ExitKind.DEADLINE, "it had not ended after 3 s"),
        ("exec sleep 1000", ExitKind.NO_BOOT, "it had not ended after 3 s (before any command)"),
        (
            'up; echo "Kernel panic - not syncing: x" >$log; exec sleep 1000',
            *(ExitKind.CRASHED, "Kernel panic - not syncing: x"),
        ),
    ],
)
def test_a_guest_that_hangs_is_ended_at_its_deadline(body, end, reason, tmp_path, monkeypatch):
    guest = install(tmp_path, monkeypatch, body)
    began = time.monotonic()
    with Machine(guest, deadline=3, kvm=False) as running:
        ended = running.run()
        with pytest.raises(ProcessLookupError):
            os.kill(running.pid, 0)
    assert (ended.kind, ended.reason) == (end, reason)
    assert 3 <= ended.seconds <= time.monotonic() - began


def test_output_and_reports_come_while_it_runs_and_whole(tmp_path, monkeypatch):
    body = """up; printf 'one\\ntw' >>$out; say '{"cell": 1}'; printf '{"ce' >>$reports
    until [ -e "$(dirname $0)/go" ]; do :; done
    printf 'o' >>$out; say 'll": 2}'; say 'no json'; say '{"cell": 3}'; ends 0"""
    guest = install(tmp_path, monkeypatch, body)
    output, reports = [], []

    def take(report):
        reports.append(report)
        (tmp_path / "bin/go").touch()

    with Machine(guest, deadline=60, kvm=False, output=output.append, report=take) as running:
        ended = running.run()
    assert ended.kind is ExitKind.DONE
    assert b"".join(output) == b"one\ntwo"
    assert reports == [{"cell": 1}, {"cell": 2}, {"cell": 3}]


def test_files_come_back_and_none_leave_their_folder(tmp_path, monkeypatch):
    body = """mkdir -p "$(dirname $0)/o/below" && cd "$(dirname $0)/o" && echo hello >below/x
    tar -cf "$disk" . ; up; ends 0"""
    guest = install(tmp_path, monkeypatch, body)
    back = tmp_path / "back"
    with Machine(guest, deadline=60, kvm=False) as running:
        running.run()
        running.unpack(back)
    assert (back / "below/x").read_text() == "hello\n"
    assert [x.name for x in back.rglob("*")] == ["below", "x"]


def test_no_files_come_back_where_a_guest_gave_none(tmp_path, monkeypatch):
    guest = install(tmp_path, monkeypatch, "up; ends 0")
    back = tmp_path / "back"
    back.mkdir()
    with Machine(guest, deadline=60, kvm=False) as running:
        running.run()
        running.unpack(back)
    assert list(back.iterdir()) == []


def test_leaving_early_ends_qemu(tmp_path, monkeypatch):
    guest = install(tmp_path, monkeypatch, "exec sleep 1000")
    with Machine(guest, deadline=60, kvm=False) as running:
        running.start()
        os.kill(running.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(running.pid, 0)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_qemu_is_told(tmp_path, monkeypatch):
    guest = install(tmp_path, monkeypatch, 'printf "%s\\n" "$@" >$out; up; ends 0')
    output = []
    with Machine(guest, deadline=60, kvm=False, output=output.append) as running:
        running.run()
    words = b"".join(output).decode().splitlines()
    assert words[words.index("-cpu") + 1].split(",")[:2] == ["max", "-cx16"]
    assert words[words.index("-m") + 1] == str(guest.memory)
    line = words[words.index("-append") + 1]
    assert line.endswith(" vxlab.modules")
    disks = [word.partition(",")[0] for word in words if word.startswith("file=")]
    assert disks[:2] == [f"file={x}" for x in (guest.root, guest.modules)]
    none, files, output_disk = disks[2:]
    assert files == f"file={guest.files}"
    assert none.startswith("file=/proc/")  # no iproute2 but the root's own
    assert output_disk.startswith("file=/proc/")
    assert none != output_disk
    assert ["readonly=on" in word for word in words if word.startswith("file=")] == [True] * 4 + [
        False
    ]


def test_a_guest_without_modules_or_with_tools(tmp_path, monkeypatch):
    guest = install(tmp_path, monkeypatch, 'printf "%s\\n" "$@" >$out; up; ends 0')
    (tmp_path / "tools").touch()
    guest = replace(guest, modules=None, tools=tmp_path / "tools")
    output = []
    with Machine(guest, deadline=60, kvm=False, output=output.append) as running:
        running.run()
    words = b"".join(output).decode().splitlines()
    assert "vxlab.modules" not in words[words.index("-append") + 1]
    disks = [word.partition(",")[0] for word in words if word.startswith("file=")]
    assert disks[1].startswith("file=/proc/")
    assert disks[2] == f"file={guest.tools}"


def test_without_qemu_the_package_is_named(tmp_path, monkeypatch):
    guest = install(tmp_path, monkeypatch, "")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with (
        pytest.raises(MissingProgram, match=r"qemu-system-x86_64.*package qemu-system-x86"),
        Machine(guest, deadline=60, kvm=False) as running,
    ):
        running.run()
    assert list((tmp_path / "tmp").iterdir()) == []


# --- KVM -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tried", "answer", "noted"), [(True, True, "yes"), (False, False, "no"), (None, False, None)]
)
def test_kvm_is_tried_once_for_each_boot_of_the_machine(
    tried, answer, noted, tmp_path, monkeypatch
):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    monkeypatch.setattr("os.access", lambda *_, **__: True)
    tries = []
    monkeypatch.setattr(kvm, "_boots", lambda: tries.append(1) or tried)
    assert [kvm.has_kvm(), kvm.has_kvm()] == [answer, answer]
    assert len(tries) == (1 if noted else 2)
    notes = [x for x in (tmp_path / "kvm").iterdir() if x.name != "CACHEDIR.TAG"]
    assert [x.read_text() for x in notes] == ([noted] if noted else [])


def test_without_the_device_nothing_is_tried(monkeypatch):
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    monkeypatch.setattr(kvm, "_boots", lambda: pytest.fail("tried"))
    assert not kvm.has_kvm()


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ('echo "vxlab: probed"', True),
        ("echo nothing", False),
        ("exec sleep 1000", False),  # it hangs inside of another virtual machine
    ],
)
def test_kvm_works_where_it_boots_in_time(body, answer, tmp_path, monkeypatch):
    guest = install(tmp_path, monkeypatch, body)
    kernel = type("Kernel", (), {"image": guest.kernel})
    monkeypatch.setattr("vxlab.vm.kernels.any_kept", lambda: kernel)
    monkeypatch.setattr("vxlab.vm.images.start", lambda _: guest.start)
    monkeypatch.setattr(kvm, "_DEADLINE", 0.5 if "sleep" in body else 60)
    assert kvm._boots() is answer


def test_qemu_ends_with_vxlab(tmp_path, monkeypatch):
    """However vxlab ends: here by SIGKILL, when it can tidy nothing."""
    guest = install(tmp_path, monkeypatch, "echo $$ >$out; exec sleep 1000")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        running = Machine(guest, deadline=60, kvm=False, output=lambda x: os.write(write, x))
        running.run()
        os._exit(1)
    os.close(write)
    with open(read) as pipe:
        pid = int(pipe.readline())
    watched = os.pidfd_open(pid)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert select.select([watched], [], [], 30)[0], "QEMU outlives vxlab"
    os.close(watched)
