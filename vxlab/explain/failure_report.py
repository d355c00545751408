"""What is kept of a failed test: the state of every node, and the frames that were recorded."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.live import history
from vxlab.live.lab import Lab
from vxlab.observe import pcapng
from vxlab.observe.frames import Frame

#: Frames shown in a report: enough for one ping between containers, of which every node along its
#: path sees each frame several times.  All frames are in the file that ``--vxlab-pcap`` writes.
LAST_FRAMES = 100
#: Lines of each program's output shown in a report.
LAST_LINES = 20
#: Characters of a file's name without checksum and suffix; file systems allow 255 bytes.
LONGEST_NAME = 150


def states_text(lab: Lab) -> str:
    """The state of every node for a test report; in place of one that cannot be read, why not."""
    parts = [f"topology {lab.topology}, built by {lab.backend.name}"]
    for name, node in lab.items():
        try:
            state = node.state.text()
        except (VxlabError, OSError) as error:  # the states of other nodes may show the reason
            state = f"no state: {error}"
        parts.append(f"--- {name}\n{state}")
    return "\n".join(parts)


def recorded_frames(lab: Lab, since: int = 0) -> list[Frame]:
    """The frames that the lab's recorders hold, the earliest first.

    ``since`` is the time of the first in nanoseconds of the epoch.
    """
    for recorder in lab.recorders.values():
        recorder.drain()
    frames = [frame for recorder in lab.recorders.values() for frame in recorder.frames]
    frames = [frame for frame in frames if frame.time_ns >= since]
    return sorted(frames, key=lambda frame: frame.time_ns)


def last_frames_text(lab: Lab, since: int = 0) -> str:
    """The last frames of all nodes, a line each, and how many were lost.

    ``since`` is the time of the first in nanoseconds of the epoch.

    A line has the seconds since the first frame, ``node/interface``, the direction, and the frame.
    """
    frames = recorded_frames(lab, since)
    ports = tuple(sorted(lab.topology.ports))
    lines = []
    for frame in frames[-LAST_FRAMES:]:
        seconds = (frame.time_ns - frames[0].time_ns) / 1e9
        arrow = "->" if frame.outgoing else "<-"
        interface = f"{frame.node}/{frame.interface}"
        lines.append(f"{seconds:10.6f} {interface:<24} {arrow} {frame.summary(ports)}")
    if len(frames) > LAST_FRAMES:
        lines.insert(0, f"(the last {LAST_FRAMES} of {len(frames)} frames)")
    lost = sum(recorder.dropped for recorder in lab.recorders.values())
    if lost:
        lines.append(f"({lost} more were lost: the recorder was not drained in time)")
    return "\n".join(lines) or "(none)"


def logs_text(lab: Lab) -> str:
    """The last lines that each program and service of the lab wrote, or ""."""
    parts = []
    for name, path in lab.logs.items():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        more = [f"(the last {LAST_LINES} of {len(lines)} lines)"] if len(lines) > LAST_LINES else []
        parts += [f"--- {name}", *more, *lines[-LAST_LINES:]] if lines else []
    return "\n".join(parts)


def file_name(test: str) -> str:
    """A file name for a test's id, another one for each id.

    That of a plain function is the id itself with ``_`` in place of ``::``; any other, which could
    look like it or like a third one, ends with a checksum of the id.
    """
    if len(test) <= LONGEST_NAME and re.fullmatch(r"\w[\w.=-]*\.py::\w+", test, re.ASCII):
        return test.replace("::", "_")
    name = re.sub(r"[^A-Za-z0-9_.=-]+", "_", test).strip("_")
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(test.encode(errors='replace')).hexdigest()[:8]}"


def write_frames(lab: Lab, folder: Path, name: str, since: int = 0) -> Path:
    """Write recorded frames as pcapng to a file in ``folder``, named ``name`` and a suffix.

    ``since`` is the time of the first in nanoseconds of the epoch.  Returns the file; the folder is
    made where there is none.  OSError where it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pcapng"
    pcapng.write(path, recorded_frames(lab, since))
    return path


def plan_text(lab: Lab, control: str = "") -> str:
    """The operations that built a lab, and those that came later, in order and marked as such.

    ``control`` is what the test's control does to the lab, "" where it runs without.
    """
    head = f"# under a control: {control}\n" if control else ""
    return head + history.text(lab.history)


def write_evidence(
    lab: Lab, folder: Path, name: str, report: str, *, control: str = "", since: int = 0
) -> Path:
    """Write what explains a failed test to the folder ``name`` in ``folder``; returns that one.

    ``report`` is pytest's text of the failure, ``control`` that of :func:`plan_text`; ``since`` is
    the time of the first frame in ``frames.txt``, in nanoseconds of the epoch.  Beside the report
    it has the plan with all later changes, the state of every node, the recorded frames as text and
    as pcapng, diagnoses that were made, and in ``logs`` what programs and services wrote.  OSError
    where it cannot be written.
    """
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    _write(own / "report.txt", f"{report}\n")
    _write(own / "plan.txt", plan_text(lab, control))
    if lab.remarks:
        _write(own / "diagnosis.txt", "".join(f"{remark}\n" for remark in lab.remarks))
    _write(own / "frames.txt", last_frames_text(lab, since) + "\n")
    pcapng.write(own / "frames.pcapng", recorded_frames(lab))
    states = {name: state.to_json() for name, state in lab.state().items()}
    _write(own / "state.json", json.dumps(states, indent=1) + "\n")
    for name, path in lab.logs.items():
        (own / "logs").mkdir(exist_ok=True)
        shutil.copyfile(path, own / "logs" / name)
    return own


def _write(path: Path, text: str) -> None:
    """Write a text as UTF-8 in every locale; characters that UTF-8 does not have are escaped."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
