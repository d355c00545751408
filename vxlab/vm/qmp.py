"""QEMU's own protocol (QEMU Machine Protocol Specification), as far as storing a guest takes it."""

from __future__ import annotations

import contextlib
import json
import select
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vxlab.errors import VxlabError

#: What QEMU sends: a greeting, an answer or an event, as JSON.
QmpMessage = dict[str, Any]

#: Seconds that QEMU has for each message.
_PATIENCE = 60.0

_EVENTS = {"capability": "events", "state": True}


def save(process: subprocess.Popen[bytes], place: Path) -> None:
    """Write the state of a guest to a file, and end it.

    The process is of QEMU with ``-qmp stdio`` and pipes without a buffer.  VxlabError where that
    fails.
    """
    messages = _messages(process)
    _ask(process, messages, "qmp_capabilities")
    _ask(process, messages, "migrate-set-capabilities", capabilities=[_EVENTS])
    _ask(process, messages, "migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    _ask(process, messages, "migrate", uri=f"exec:cat >{shlex.quote(str(place))}")
    status = "setup"
    while status not in ("completed", "failed", "cancelled"):
        message = next(messages)
        if message.get("event") == "MIGRATION":
            status = message["data"]["status"]
    if status != "completed":
        found = _ask(process, messages, "query-migrate").get("error-desc", status)
        raise VxlabError(f"wanted to store a guest in {place}, found: {found}")
    _ask(process, messages, "quit")


def _messages(process: subprocess.Popen[bytes]) -> Iterator[QmpMessage]:
    assert process.stdout
    while select.select([process.stdout], [], [], _PATIENCE)[0]:
        line = process.stdout.readline()
        if not line:
            raise VxlabError("wanted an answer of QEMU, found that it has ended")
        yield json.loads(line)
    raise VxlabError(f"wanted an answer of QEMU, found none within {_PATIENCE:g} s")


def _ask(
    process: subprocess.Popen[bytes],
    messages: Iterator[QmpMessage],
    command: str,
    **arguments: object,
) -> Any:
    assert process.stdin
    request = {"execute": command, "arguments": arguments}
    with contextlib.suppress(BrokenPipeError):  # it has no answer either
        process.stdin.write(json.dumps(request).encode() + b"\n")
    while True:
        message = next(messages)
        if "error" in message:
            raise VxlabError(f"QEMU: {command}: {message['error'].get('desc')}")
        if "return" in message:
            return message["return"]
