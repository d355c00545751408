"""Which guests are stored, and what happens where that fails; QEMU is a script here."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from dataclasses import replace

import pytest
from fake_machine import install

from vxlab.errors import VxlabError
from vxlab.vm import cache, kernels, project, qemu, qmp, run, snapshots
from vxlab.vm.guest import ExitKind, GuestExit
from vxlab.vm.machine import Machine

#: Becomes ready, and stores itself when it is asked to: what it is asked goes to the file ``asked``
#: beside it.
STORES = """
    case "$*" in
    *half-made*) up; echo proven >>"$(dirname "$0")/proven"; ends 0; exit ;;
    *-incoming*) up; ends 4; exit ;;
    esac
    say '{"guest": "ready"}'
    while read -r line; do
        echo "$line" >>"$(dirname "$0")/asked"
        case $line in
        *'"exec:cat >'*)
            place=${line#*exec:cat >}
            echo stored >"${place%%\\"*}"
            echo '{"return": {}}'
            echo '{"event": "MIGRATION", "data": {"status": "active"}}'
            echo '{"event": "MIGRATION", "data": {"status": "completed"}}'
            ;;
        *quit*) echo '{"return": {}}'; exit ;;
        *) echo '{"event": "OTHER"}'; echo '{"return": {}}' ;;
        esac
    done
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Make a guest whose kernel is in the cache, and QEMU a script."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))

    def make(body=STORES):
        guest = install(tmp_path, monkeypatch, body)
        kernel = cache.part("kernels") / "vmlinuz"
        kernel.touch()
        return replace(guest, kernel=kernel)

    return make


def stored(guest, said=None, *, kvm=False):
    notify = (said if said is not None else []).append
    return snapshots.with_snapshot(guest, kvm=kvm, notify=notify).snapshot


def test_a_guest_is_stored_once_and_goes_on_from_there(kept, tmp_path):
    guest, said = kept(), []
    place = stored(guest, said)
    assert place.read_text() == "stored\n"
    assert stored(guest, said) == place
    assert said == ["storing a machine that has started, for the next time"]
    asked = (tmp_path / "bin/asked").read_text()
    assert asked.splitlines()[-1] == '{"execute": "quit", "arguments": {}}'
    assert asked.count("exec:cat") == 1
    assert (tmp_path / "bin/proven").read_text() == "proven\n"
    with Machine(replace(guest, snapshot=place), deadline=60, kvm=False) as machine:
        assert machine.run().code == 4
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_disks_of_a_guest_are_the_same_wherever_it_goes_on(kept, tmp_path):
    """All but their content: QEMU's words, but for where the files are and what it is to do."""
    record = 'for word; do echo "$word"; done >"$(dirname "$0")/words.$$"\n'
    guest = kept(record + STORES)
    place = stored(guest)
    for tools in (None, tmp_path / "tools"):
        if tools:
            tools.write_bytes(b"an image")
        going = replace(guest, snapshot=place, tools=tools)
        with Machine(going, deadline=60, kvm=False) as machine:
            machine.run()
            sizes = [path.stat().st_size for path, _ in qemu.disks(going, machine._ports)]
            assert sizes[2:] == [512 << 20, 512 << 20, 256 << 20]
    heard = []
    for file in sorted((tmp_path / "bin").glob("words.*")):
        words = file.read_text().splitlines()
        for option, value in (("-qmp", "stdio"), ("-incoming", "exec:cat ")):
            if option in words:
                at = words.index(option)
                assert words[at + 1].startswith(value)
                del words[at : at + 2]
        heard.append([word.partition(",")[2] if "file" in word else word for word in words])
    assert len(heard) == 4  # one of them is the proof
    assert all(each == heard[0] for each in heard)
    assert "vxlab.warm" in heard[0][-1]


@pytest.mark.parametrize(
    "other",
    [
        {"memory": 2048},
        {"start": "start2"},
        {"root": "root2"},
        {"modules": "modules2"},
        {"kernel": "cache/kernels/vmlinuz2"},
    ],
    ids=str,
)
def test_another_guest_has_another_snapshot(other, kept, tmp_path):
    guest = kept()
    changes = {key: tmp_path / x if isinstance(x, str) else x for key, x in other.items()}
    for path in changes.values():
        if not isinstance(path, int):
            path.touch()
    assert stored(guest) != stored(replace(guest, **changes))


def test_another_qemu_or_start_of_this_machine_has_another(kept, tmp_path, monkeypatch):
    guest = kept()
    first = stored(guest)
    qemu = tmp_path / "bin/qemu-system-x86_64"
    qemu.write_text(qemu.read_text() + "\n")
    second = stored(guest)
    boot = tmp_path / "boot_id"
    boot.write_text("another")
    monkeypatch.setattr(snapshots, "_BOOT", boot)
    assert len({first, second, stored(guest)}) == 3


def test_what_is_not_stored(kept, tmp_path):
    guest = kept()
    own = tmp_path / "kernel"
    for each in (replace(guest, kernel=own), replace(guest, modules=None)):
        assert stored(each) is None
    assert stored(replace(guest, memory=256)) is None
    assert stored(guest, kvm=True) is None
    assert not (tmp_path / "bin/asked").exists()


FAILS = {
    "migration": (
        STORES.replace("completed", "failed").replace(
            "*quit*", """*query-migrate*) echo '{"return": {"error-desc": "No space"}}' ;; *quit*"""
        ),
        "found: No space",
    ),
    "refused": (
        STORES.replace("*quit*", """*set-param*) echo '{"error": {"desc": "no"}}' ;; *quit*"""),
        "QEMU: migrate-set-parameters: no",
    ),
    "ends": (STORES.replace("*quit*", "*set-param*) exit 1 ;; *quit*"), "QEMU"),
    "a Python dies": (
        STORES.replace("ends 0; exit", "ends 139; exit"),
        "wanted a Python in the snapshot to end with 0, found: done, exit code 139 SIGSEGV",
    ),
    "a Python dies unseen": (
        STORES.replace("ends 0; exit", """say '{"guest": "fault", "value": 11}'; ends 0; exit"""),
        "found: done, exit code 0 SIGSEGV",
    ),
    "it does not go on": (STORES.replace("ends 0; exit", "exit 1"), "found: machine lost"),
    "no boot": ('echo "[1] Kernel panic - not syncing: VFS" >$log', "boot failed: Kernel panic"),
    "no server": (
        """up; say '{"guest": "trouble", "value": "no server"}'; ends 127""",
        "trouble: no server",
    ),
}


@pytest.mark.parametrize("name", FAILS)
def test_where_storing_fails_a_guest_boots(name, kept, tmp_path):
    body, why = FAILS[name]
    guest, said = kept(body), []
    assert stored(guest, said) is None
    assert said[-1].startswith("no snapshot: ")
    assert why in said[-1]
    assert os.listdir(cache.part("snapshots")) == ["CACHEDIR.TAG"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_proof_is_a_python_that_ends(tmp_path):
    project.pack_command(tmp_path / "tar", snapshots._PROOF)
    with tarfile.open(tmp_path / "tar") as packed:
        command = packed.extractfile("vxlab/command").read().decode()
        assert packed.getmember("vxlab/python").mode & 0o111
    here = command.replace("/tmp", str(tmp_path)).replace(project.PYTHON, sys.executable)
    done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "1 passed" in done.stdout


#: (how a guest ended within a deadline of 60 s, whether its snapshot is bad)
ENDS = [
    (GuestExit(kind=ExitKind.DONE, code=0), False),
    (GuestExit(kind=ExitKind.DONE, code=1), False),
    (GuestExit(kind=ExitKind.DONE, code=0, fault="SIGSEGV"), True),
    (GuestExit(kind=ExitKind.CRASHED, reason="BUG"), False),
    (GuestExit(kind=ExitKind.LOST), False),
    (GuestExit(kind=ExitKind.NO_BOOT, reason="QEMU ended with 1", seconds=1.0), True),
    (GuestExit(kind=ExitKind.NO_BOOT, reason="it had not ended", seconds=60.1), False),
]


@pytest.mark.parametrize(("ended", "bad"), ENDS)
def test_which_ends_cast_doubt_on_a_snapshot(ended, bad, kept, tmp_path):
    guest = kept()
    assert snapshots.is_bad(replace(guest, snapshot=tmp_path / "state"), ended, 60.0) is bad
    assert not snapshots.is_bad(guest, ended, 60.0)


def test_what_is_thrown_away_is_made_again(kept):
    guest, said = kept(), []
    place = stored(guest)
    going = replace(guest, snapshot=place)
    assert snapshots.discarded(going, "SIGSEGV", said.append) == guest
    assert "SIGSEGV in a machine from a snapshot: that is thrown away" in said[0]
    assert os.listdir(cache.part("snapshots")) == ["CACHEDIR.TAG"]
    assert snapshots.discarded(going, "SIGSEGV", said.append) == guest  # another was quicker
    assert stored(guest) == place
    assert place.exists()


#: From a snapshot a program dies; after a boot it ends with 3.
DIES = (
    """
    case "$*" in
    *half-made*) up; ends 0; exit ;;
    *-incoming*) up; printf 1 >>$out; HOW; exit ;;
    *-qmp*) ;;
    *) up; printf 2 >>$out; ends 3; exit ;;
    esac
"""
    + STORES
)


@pytest.mark.parametrize(
    ("how", "printed", "code", "kept_on"),
    [
        ("ends 139", b"12", 3, False),
        ("ends 134", b"12", 3, False),
        ("""say '{"guest": "fault", "value": 11}'; ends 0""", b"12", 3, False),
        ("ends 0", b"1", 0, True),
        ("ends 1", b"1", 1, True),
        ("ends 137", b"1", 137, True),  # it was killed: somebody wanted that
        ("ends 143", b"1", 143, True),
    ],
)
def test_a_command_that_dies_in_a_snapshot_is_run_again_without(
    how, printed, code, kept_on, kept, tmp_path, monkeypatch
):
    guest, output, said = kept(DIES.replace("HOW", how)), [], []
    found = kernels.Kernel(name="x", release="6.1", image=guest.kernel, modules=tmp_path)
    monkeypatch.setattr("vxlab.vm.kernels.find", lambda *_, **__: found)
    monkeypatch.setattr("vxlab.vm.images.root", lambda _: guest.root)
    monkeypatch.setattr("vxlab.vm.images.modules", lambda _: guest.modules)
    monkeypatch.setattr("vxlab.vm.images.start", lambda _: guest.start)
    monkeypatch.setattr("vxlab.vm.run.has_kvm", lambda: False)
    monkeypatch.setattr("vxlab.vm.machine.has_kvm", lambda: False)
    (tmp_path / "project").mkdir()
    ended = run.run_command(
        ["true"], kernel="x", folder=tmp_path / "project", output=output.append, notify=said.append
    )
    assert ended.code == code
    assert b"".join(output) == printed
    assert bool(list(cache.part("snapshots").glob("*/state"))) is kept_on
    assert any("thrown away" in each for each in said) is not kept_on
    assert list((tmp_path / "tmp").iterdir()) == []


def test_files_that_cannot_come_back_do_not_cost_the_exit_code(kept, tmp_path, monkeypatch):
    body = """mkdir "$(dirname $0)/o" && cd "$(dirname $0)/o" && echo hello >file && mkfifo pipe
    ln -s /etc/passwd link; tar -cf "$disk" . ; up; ends 7"""
    guest, said = replace(kept(body), modules=None), []
    found = kernels.Kernel(name="x", release="6.1", image=guest.kernel, modules=None)
    monkeypatch.setattr("vxlab.vm.kernels.find", lambda *_, **__: found)
    monkeypatch.setattr("vxlab.vm.run.parts", lambda *_, **__: guest)
    monkeypatch.setattr("vxlab.vm.run.has_kvm", lambda: False)
    monkeypatch.setattr("vxlab.vm.machine.has_kvm", lambda: False)
    (tmp_path / "project").mkdir()
    ended = run.run_command(
        ["true"], kernel="x", folder=tmp_path / "project", files=tmp_path / "back",
        notify=said.append,
    )  # fmt: skip
    assert (ended.kind, ended.code) == (ExitKind.DONE, 7)
    assert os.listdir(tmp_path / "back") == ["file"]
    assert sorted(line for line in said if "left out" in line) == [
        "left out of what came back: './link': a link that leads out, to '/etc/passwd'",
        "left out of what came back: './pipe': no file with a content",
    ]


def test_a_guest_that_never_becomes_ready_is_ended(kept, monkeypatch, tmp_path):
    monkeypatch.setattr(snapshots, "_DEADLINE", 0.5)
    guest, said = kept("exec sleep 1000"), []
    assert stored(guest, said) is None
    assert "it had not ended after 0.5 s" in said[-1]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_was_not_used_for_a_day_is_removed_when_another_is_made(kept):
    guest = kept()
    old, used = stored(guest), stored(replace(guest, memory=2048))
    for each in (old, used):
        os.utime(each.parent, (1, 1))
    assert stored(replace(guest, memory=2048)) == used
    stored(replace(guest, memory=4096))
    assert used.exists()
    assert not old.exists()


def test_a_guest_that_was_stored_ended_well(kept, tmp_path):
    with Machine(kept(), deadline=60, kvm=False) as machine:
        ended = machine.save(tmp_path / "state")
    assert (ended.kind, ended.code, ended.reason) == (ExitKind.DONE, 0, "")


@pytest.mark.parametrize(
    ("does", "found"),
    [("exit 1", "found that it has ended"), ("exec sleep 1000", "found none within 0.5 s")],
)
def test_qemu_that_does_not_answer_is_an_error(does, found, tmp_path, monkeypatch):
    monkeypatch.setattr(qmp, "_PATIENCE", 0.5 if "sleep" in does else 60)
    pipe = subprocess.PIPE
    words = ["sh", "-c", f"read -r line; {does}"]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, bufsize=0) as process:
        with pytest.raises(VxlabError, match=f"wanted an answer of QEMU, {found}"):
            qmp.save(process, tmp_path / "state")
        process.kill()
