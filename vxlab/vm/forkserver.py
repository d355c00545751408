"""A Python in a guest that has imported what tests need, and forks a program for each who asks.

    forkserver.py serve DISK     import, report that it is ready; go on once DISK has a tar
    forkserver.py run WORD...    what `python3 -P WORD...` does, without the time that it takes

It starts before vxlab has come into the guest, and so imports nothing of it.  It serves processes
that are like itself: for one with other namespaces, rights or settings of Python a new Python is
started, as without a server.
"""

import json
import os
import signal
import socket
import sys

#: Where it listens, and where it reports.
PLACE, REPORTS = "/vxlab/forkserver", "/dev/ttyS2"

#: Variables of Python that a program may bring; others mean something at Python's start alone.
KNOWN = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}

#: What is passed on to a program.
PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1)

#: What a program dies by that has met what it should never meet, as in a snapshot that is bad.
FAULTS = (
    *(signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV),
    signal.SIGSYS,
)

#: Where it is reported that a program has died by one of these; in a guest alone.
faults_to = ""

#: The largest request, in bytes; the answer of a server that does not do it.
LARGEST, REFUSED = 1 << 17, b"no"

#: What scenarios import of other packages while they run.
PACKAGES = (
    *("pyroute2", "testinfra"),
    *("scapy.layers.l2", "scapy.layers.inet", "scapy.layers.inet6", "scapy.layers.vxlan"),
)
#: What is imported, beside what pytest and its plugins import.
MODULES = (
    *("asyncio", "concurrent.futures", "ctypes", "difflib", "encodings.unicode_escape"),
    *("multiprocessing", "packaging.version", "runpy", "sqlite3", "tomllib"),
    *PACKAGES,
    *("pyroute2.iproute.linux", "pyroute2.netlink.generic"),
    *("testinfra.host", "testinfra.modules"),
)


# --- who asks --------------------------------------------------------------------------------


def run_on_server(words: list[str]) -> None:
    """Have the server run a program, and end as that ends; never returns."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * LARGEST)
    request = json.dumps({"words": words, "env": dict(os.environ)}).encode()
    others = [name for name in os.environ if name.startswith("PYTHON") and name not in KNOWN]
    if others or len(request) > LARGEST or server.connect_ex(PLACE):
        new_python(words)
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    socket.send_fds(server, [request], [0, 1, 2, os.open(".", os.O_PATH)])
    answer = server.recv(64)
    if answer == REFUSED:
        for number in PASSED_ON:
            signal.signal(number, signal.SIG_DFL)
        new_python(words)
    code = int(answer) if answer else 70  # sysexits.h: nobody told how it ended
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def new_python(words: list[str]) -> None:
    """Become it."""
    os.execvp("python3", ["python3", "-P", *words])


# --- who serves ------------------------------------------------------------------------------


def serve(disk: str) -> list[str]:
    """Import, wait for the disk, serve in the background; returns in each program, its words."""
    warm_up()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(PLACE)
    listener.listen()
    global faults_to
    faults_to = REPORTS
    with open(REPORTS, "w") as reports:
        reports.write('{"guest": "ready"}\n')
    wait_for(disk)
    if os.fork():
        os._exit(0)
    os.setsid()
    return listen(listener)


def listen(listener: socket.socket) -> list[str]:
    """Fork a process for each connection, for ever; returns in programs, their words."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that attend
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return attend(connection)
        connection.close()


def warm_up() -> None:
    """Import what tests need.

    Plugins by a run of pytest, which changes them as they are loaded, and warns of those that
    were not.
    """
    import gc
    import importlib
    import tempfile

    import pytest

    output = os.dup(1)
    with open(os.devnull, "w") as nothing, tempfile.TemporaryDirectory() as folder:
        os.dup2(nothing.fileno(), 1)
        with open(f"{folder}/test_warm.py", "w") as file:
            file.write("def test_it(tmp_path): pass\n")
        options = [f"--rootdir={folder}", f"--basetemp={folder}/temp", "-p", "no:cacheprovider"]
        pytest.main(["-q", *options, file.name])
        sys.modules.pop("test_warm", None)
        for name in MODULES:
            importlib.import_module(name)
        sys.stdout.flush()
        os.dup2(output, 1)
    os.close(output)
    gc.collect()
    gc.freeze()


def wait_for(disk: str) -> None:
    """Wait for a tar on the disk: then this guest is not the one that is being stored.

    It has now what all that go on from the same snapshot have: forget what was read of a disk that
    was another one's, ask for the time, and let the kernel draw other random numbers (Python does
    with every fork).
    """
    import fcntl
    import mmap
    import time

    page = mmap.mmap(-1, 4096)
    fd = os.open(disk, os.O_RDONLY | os.O_DIRECT)
    while not (os.preadv(fd, [page], 0) and page[257:262] == b"ustar"):  # tar(5)
        time.sleep(0.01)
    fcntl.ioctl(fd, 0x1261)  # linux/fs.h: BLKFLSBUF
    os.close(fd)
    with open("/sys/class/rtc/rtc0/since_epoch") as clock:
        time.clock_settime(time.CLOCK_REALTIME, int(clock.read()))
    with open("/dev/urandom", "wb", buffering=0) as device:
        device.write(f"{time.time_ns()}".encode() + page)
        fcntl.ioctl(device, 0x5207)  # linux/random.h: RNDRESEEDCRNG


def attend(connection: socket.socket) -> list[str]:
    """Follow a program until it ends, and tell how; returns in the program, its words."""
    import struct

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, fds, _, _ = socket.recv_fds(connection, LARGEST, 4)
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    client = struct.unpack("3i", credentials)[0]  # unix(7): pid, uid, gid
    if traits(client) != traits("self"):
        connection.send(REFUSED)
        os._exit(0)
    request = json.loads(data)
    program = os.fork()
    if program == 0:
        connection.close()
        become(request["env"], fds, client)
        words: list[str] = request["words"]
        return words
    for fd in fds:
        os.close(fd)
    follow(program, connection)
    os._exit(0)


def follow(program: int, connection: socket.socket) -> None:
    """Pass on signals to a program until it ends, and tell how; it is killed with who asked."""
    import select

    ended = os.pidfd_open(program)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(connection, select.POLLIN)
    while ended not in dict(poll.poll()):
        number = connection.recv(1)
        os.kill(program, number[0] if number else signal.SIGKILL)
        if not number:  # who asked is gone
            os._exit(0)
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    if -code in FAULTS and faults_to:
        with open(faults_to, "a") as reports:
            reports.write(json.dumps({"guest": "fault", "value": -code}) + "\n")
    connection.send(str(code).encode())


def traits(process: int | str) -> object:
    """What a process has that its children inherit, and that a program of the server has not."""
    place = f"/proc/{process}"
    spaces = [os.readlink(f"{place}/ns/{name}") for name in sorted(os.listdir(f"{place}/ns"))]
    rights = ("Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp:")
    with open(f"{place}/status") as file:
        lines = [line for line in file if line.startswith(rights)]
    with open(f"{place}/cgroup") as file:
        groups = file.read()
    root = os.stat(f"{place}/root")
    return spaces, lines, groups, root.st_dev, root.st_ino


def become(env: dict[str, str], fds: list[int], client: int) -> None:
    """Be the program that the process ``client`` asked for, as if that had started it.

    ``env`` is its environment; ``fds`` are its input, output and errors, and its folder.
    """
    import resource
    import tempfile

    os.setsid()
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
    os.fchdir(fds[3])
    for fd in fds:
        os.close(fd)
    for name in dir(resource):
        if name.startswith("RLIMIT_"):
            limit = getattr(resource, name)
            resource.setrlimit(limit, resource.prlimit(client, limit))
    with open(f"/proc/{client}/status") as file:
        os.umask(next(int(line.split()[1], 8) for line in file if line.startswith("Umask:")))
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [place for place in env.get("PYTHONPATH", "").split(":") if place]
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    tempfile.tempdir = None


def execute(words: list[str]) -> None:
    """Run `-m MODULE ARGUMENT...` or `-c CODE ARGUMENT...`, as Python does."""
    import runpy
    import types

    kind, what, *arguments = words
    sys.orig_argv = ["python3", "-P", *words]
    sys.argv = [kind, *arguments]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run_on_server(sys.argv[2:])
    execute(serve(sys.argv[2]))
