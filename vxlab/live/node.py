"""A node of a live lab: run programs in it, ask it, change it."""

from __future__ import annotations

import ipaddress
import locale
import socket as sockets
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from vxlab.errors import CommandError, VxlabError, WaitTimeout
from vxlab.live import arguments
from vxlab.live.json_output import read_json
from vxlab.live.programs import LOG, Program
from vxlab.netlink import devices
from vxlab.observe import state
from vxlab.observe.frames import MARK_PORT, MARK_PREFIX
from vxlab.plan.operations import sysctl_path
from vxlab.system.namespaces import Namespaces
from vxlab.system.processes import Output, finish
from vxlab.system.workers import undisturbed

if TYPE_CHECKING:
    from testinfra.host import Host as TestinfraHost

#: Seconds that a command in a node may take, unless told otherwise.
COMMAND_DEADLINE = 30.0

#: Objects of `ip` that look at /run or /sys, which a node has of its own.
_OTHERS = frozenset({"netns", "tuntap", "tap", "vrf"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command did; true if it ended with exit code 0.

    ``argv`` is the program and its arguments, ``code`` its exit code (below 0: the signal that
    ended it), ``stdout`` and ``stderr`` are what it printed, as text.
    """

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def __bool__(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Ping:
    """What a ping saw; true if at least one request was answered.

    ``sent`` and ``received`` count requests and answers, ``output`` is what ping(8) printed.
    """

    sent: int
    received: int
    output: str

    def __bool__(self) -> bool:
        return self.received > 0


class Node:
    """One node of a live lab, as ``lab["name"]`` gives it.

    ``name`` is its name, ``namespaces`` are its own; ``after`` is called whenever a command has
    ended; ``new_log`` returns a path for the output of a program, given the program's name.
    """

    def __init__(
        self,
        name: str,
        namespaces: Namespaces,
        after: Callable[[], None],
        new_log: Callable[[str], Path],
    ) -> None:
        self.name = name
        self.namespaces = namespaces
        self._after, self._new_log = after, new_log
        self._testinfra: TestinfraHost | None = None

    def __repr__(self) -> str:
        return f"<Node {self.name}>"

    def popen(
        self,
        *argv: str,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = LOG,
        stderr: int | IO[Any] | None = LOG,
        env: Mapping[str, str] | None = None,
        text: bool = True,
    ) -> Program:
        """Start a program in the node, beside the test; it ends with the lab at the latest.

        ``argv`` is the program and its arguments.  What it writes goes to a file of the lab, which
        ``output()`` of the result reads, and which the evidence of a failed test keeps.
        ``stdin`` (nothing unless given), ``stdout``, ``stderr`` and ``env`` (the whole environment;
        None: this process's) are those of :class:`subprocess.Popen`: with ``stdout=PIPE`` somebody
        has to read the pipe, or a program that writes much waits for ever.  Pipes carry text
        unless ``text`` is False.  MissingProgram where it is not installed.
        """
        arguments.environment(self.name, env)
        words = arguments.words(self.name, argv)
        streams: dict[str, Any] = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        start = partial(self.namespaces.popen, words, env=env, text=text, kind=Program)
        if LOG not in (stdout, stderr):
            return cast(Program, start(**streams))
        log = self._new_log(words[0])
        with log.open("ab") as file:
            given: dict[str, Any] = {
                name: file if stream == LOG else stream for name, stream in streams.items()
            }
            program = cast(Program, start(**given))
        program.log = log
        return program

    def run(
        self,
        *argv: str,
        check: bool = True,
        stdin: str | None = None,
        timeout: float = COMMAND_DEADLINE,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a program in the node to its end; what it left running goes on, read by nobody.

        ``argv`` is the program and its arguments, ``stdin`` the text that it reads (None: nothing),
        ``env`` the whole environment (None: this process's).  CommandError where it ends with
        another code than 0, unless ``check`` is False; WaitTimeout after ``timeout`` seconds;
        MissingProgram where it is not installed.  On time-out, and where any other exception
        passes, the program is killed with all that it started.  It has a session of its own, and
        so no terminal.
        """
        arguments.environment(self.name, env)
        argv = arguments.words(self.name, argv)
        self._check_wait(timeout)
        if stdin is not None and not isinstance(stdin, str):
            raise VxlabError(f"{self.name}: stdin: wanted text, found {stdin!r}")
        pipe = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        start = partial(self._start, argv, stdin=pipe, env=env)
        return self._result(start, argv, check, timeout, stdin or "")

    def ask(self, *argv: str, check: bool = True, timeout: float = COMMAND_DEADLINE) -> Result:
        """Run a program that ends soon, and needs nothing of the node but its network.

        As :meth:`run`, and quicker: it sees this process's mounts and processes, not the node's.
        ``argv`` is the program and its arguments; ``check`` and ``timeout`` (seconds), and the
        errors, are those of :meth:`run`.
        """
        argv = arguments.words(self.name, argv)
        self._check_wait(timeout)
        return self._result(partial(self.namespaces.quick, argv), argv, check, timeout)

    def _check_wait(self, timeout: float | None) -> None:
        if timeout is not None:  # as for subprocess: without a limit
            arguments.number(f"{self.name}: timeout", timeout)

    def _start(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program that is waited for, and ended with all that it started."""
        pipe = subprocess.PIPE
        return self.namespaces.popen(argv, stdout=pipe, stderr=pipe, new_session=True, **options)

    def _result(
        self,
        start: Callable[[], subprocess.Popen[Any]],
        argv: tuple[str, ...],
        check: bool,
        timeout: float,
        stdin: str = "",
    ) -> Result:
        """What a program did, once it has ended."""
        encoding = locale.getencoding()
        try:
            code, output = self._to_end(start, stdin.encode(encoding), timeout)
        except subprocess.TimeoutExpired as error:
            raise WaitTimeout(
                f"{self.name}: waited {timeout:g} s for `{' '.join(argv)}` to end; killed it"
            ) from error
        stdout, stderr = (
            text.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
            for text in (output.stdout, output.stderr)
        )
        result = Result(argv=argv, code=code, stdout=stdout, stderr=stderr)
        if check and result.code:
            raise CommandError(self.name, argv, result.code, stderr or stdout)
        return result

    def _to_end(
        self, start: Callable[[], subprocess.Popen[Any]], stdin: bytes, timeout: float | None
    ) -> tuple[int, Output]:
        """Start a program and wait for its end: its exit code, and what it printed."""

        def job() -> tuple[int, Output]:
            process = start()
            output = finish(process, stdin, timeout)
            return process.returncode, output

        ended = undisturbed(job)
        self._after()
        return ended

    def run_shell(self, line: str) -> tuple[int, Output]:
        """Run a line of sh(1) in the node, however long it takes: exit code, and what it printed.

        For what wants bytes; :meth:`run` is for all others.
        """
        return self._to_end(partial(self._start, ("sh", "-c", line), text=False), b"", None)

    def ping(
        self,
        address: str,
        *,
        count: int = 1,
        timeout: float = 5.0,
        interface: str | None = None,
        size: int | None = None,
        interval: float = 0.2,
    ) -> Ping:
        """Ping ``address``; the result is true if there was an answer.

        ``address`` is an IP address, ``count`` the number of requests, ``interval`` the seconds
        between two of them.  ``timeout`` is how many seconds to wait for an answer to the last
        request; the ping ends as soon as ``count`` answers have come.  ``interface`` is the name of
        an interface (also of a VRF) or a source address; ``size`` is in bytes of payload (None:
        56).  CommandError where ping(8) itself fails.
        """
        arguments.text(f"{self.name}: ping: address", address)
        arguments.whole_number(f"{self.name}: ping: count", count, low=1, high=1 << 31)
        arguments.number(f"{self.name}: ping: timeout", timeout)
        arguments.number(f"{self.name}: ping: interval", interval)
        argv = ["ping", "-n", "-c", str(count), "-i", str(interval), "-W", f"{timeout:g}"]
        argv += ["-I", interface] if interface is not None else []
        argv += ["-s", str(size)] if size is not None else []
        result = self.ask(*argv, address, check=False, timeout=timeout + count + COMMAND_DEADLINE)
        if result.code > 1:  # 1: no answer (ping(8))
            raise CommandError(self.name, result.argv, result.code, result.stderr or result.stdout)
        for line in result.stdout.splitlines():
            words = line.split()
            if words[1:3] == ["packets", "transmitted,"]:
                return Ping(int(words[0]), int(words[3]), result.stdout)
        raise CommandError(self.name, result.argv, result.code, "no summary: " + result.stdout)

    def ip(self, *words: str) -> Any:
        """The answer of ``ip -j WORDS`` as Python lists and dicts ([] where it prints nothing).

        ``words`` are the arguments.  CommandError where it fails, VxlabError for what is no JSON;
        where ``ip`` prints broken JSON, that is mended (:mod:`vxlab.live.json_output`).
        With ``-d`` as a word it shows details: ``ip("-d", "link", "show", "vxlan0")``.
        """
        return self._json("ip", words)

    def bridge(self, *words: str) -> Any:
        """The answer of ``bridge -j WORDS`` as Python lists and dicts; see :meth:`ip`."""
        return self._json("bridge", words)

    def _json(self, program: str, words: tuple[str, ...]) -> Any:
        words = arguments.words(self.name, (program, *words))[1:]
        run = self.ask if _OTHERS.isdisjoint(words) else self.run
        output = run(program, "-j", *words).stdout
        try:
            return read_json(output) if output.strip() else []
        except ValueError as error:
            raise VxlabError(
                f"{self.name}: wanted JSON from `{program} -j {' '.join(words)}`, found {output!r}"
            ) from error

    def sysctl(self, key: str, value: str | int | None = None) -> str:
        """The value of the setting ``key``; it is set first where ``value`` is given.

        ``key`` is in dotted form, below ``net.``: ``net.ipv4.ip_forward``.  A dot in the name of an
        interface is written as a slash, as with sysctl(8).  VxlabError where there is no such
        setting, or the kernel refuses the value.
        """
        path = sysctl_path(key)
        try:
            if value is not None:
                self.namespaces.write(path, arguments.text(f"{self.name}: {key}", str(value)))
            return self.namespaces.read(path).strip()
        except OSError as error:
            raise VxlabError(
                f"{self.name}: wanted the setting {key}, found: {error.strerror}"
            ) from error

    def socket(self, family: int, kind: int, protocol: int = 0) -> sockets.socket:
        """A socket of this node, to be used and closed as any other.

        ``family`` (AF_*), ``kind`` (SOCK_*) and ``protocol`` are those of :func:`socket.socket`.
        OSError where the kernel refuses.
        """
        return self.namespaces.socket(family, kind, protocol)

    def add_raw_link(self, name: str, kind: str, data: Iterable[tuple[int, bytes]] = ()) -> int:
        """Create a device by one netlink request, as no operation would; its interface index.

        For tests of what the kernel refuses.  ``name`` is the device's, ``kind`` as ``ip link add
        type`` has it, ``data`` are attributes of that kind (IFLA_VXLAN_* …), each as number and
        payload.  ApplyError, with the kernel's error number and explanation, where it refuses.
        """
        for text in (name, kind):
            arguments.text(f"{self.name}: a device", text)
        found = arguments.pairs(f"{self.name}: {name}", data, (int, bytes), "number and bytes")
        return devices.add_link(self.namespaces, kind, found, name=name)

    def raw_link(self, name: str) -> dict[int, bytes]:
        """The attributes of a device's kind just as the kernel reports them: number to payload.

        VxlabError where there is no device of that name.
        """
        arguments.text(f"{self.name}: a device", name)
        try:
            index = devices.index_of(self.namespaces, name)
        except OSError as error:
            raise VxlabError(f"{self.name}: wanted the device {name!r}, found none") from error
        return devices.kind_attributes(self.namespaces, index)

    def send_marked(self, address: str, data: bytes, *, port: int = MARK_PORT) -> None:
        """Send one UDP datagram that captures recognise by its payload (``payloads()``).

        ``address`` is of IPv4 or IPv6, also one of broadcast or multicast; ``data`` is what
        ``payloads()`` shows, in bytes, as long as the packet is not fragmented; ``port`` is the UDP
        destination port, any from 1 to 65535.  VxlabError where ``address`` or ``port`` is none,
        or the kernel refuses to send.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise VxlabError(f"{self.name}: wanted bytes to send, found {data!r}")
        try:
            version = ipaddress.ip_address(arguments.text(self.name, address)).version
        except ValueError as error:
            raise VxlabError(f"{self.name}: wanted an IP address, found {address!r}") from error
        if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
            raise VxlabError(f"{self.name}: wanted a port from 1 to 65535, found {port!r}")
        family = sockets.AF_INET if version == 4 else sockets.AF_INET6
        with self.socket(family, sockets.SOCK_DGRAM) as sock:
            sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_BROADCAST, 1)
            try:
                sock.sendto(MARK_PREFIX + data, (address, port))
            except OSError as error:
                raise VxlabError(
                    f"{self.name}: wanted to send to {address}, found: {error.strerror}"
                ) from error

    @property
    def state(self) -> state.NodeState:
        """A snapshot of links, addresses, FDB, neighbours, routes, groups and counters."""
        return undisturbed(lambda: state.snapshot(self.namespaces))

    @property
    def testinfra(self) -> TestinfraHost:
        """A testinfra host that looks at this node, and at no other lab's."""
        if self._testinfra is None:
            from vxlab.live.testinfra import host_of

            self._testinfra = host_of(self)
        return self._testinfra
