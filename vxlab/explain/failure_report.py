"""The evidence of a failed test: what every node held, and the last frames it saw."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.live.lab import Lab
from vxlab.observe import pcapng
from vxlab.observe.frames import Frame

#: Frames shown in a report, enough for one ping between containers, which every node on the way
#: sees several times; the rest is in the file that ``--vxlab-pcap`` keeps.
LAST_FRAMES = 100
#: Characters of a file's name, before a checksum and a suffix; file systems take 255 bytes.
LONGEST_NAME = 150


def text_of(lab: Lab) -> str:
    """The state of every node as text for a test report; where one cannot be read, why."""
    parts = [f"topology {lab.topology}, built by {lab.backend.name}"]
    for name, node in lab.items():
        try:
            state = node.state.text()
        except (VxlabError, OSError) as error:  # the other nodes' states may tell the reason
            state = f"no state: {error}"
        parts.append(f"--- {name}\n{state}")
    return "\n".join(parts)


def frames_of(lab: Lab) -> list[Frame]:
    """All frames that the lab's recorders hold, in the order of time."""
    for recorder in lab.recorders.values():
        recorder.drain()
    frames = [frame for recorder in lab.recorders.values() for frame in recorder.frames]
    return sorted(frames, key=lambda frame: frame.time_ns)


def frames_text(lab: Lab) -> str:
    """The last frames of all nodes, a line each; what was lost is said."""
    frames = frames_of(lab)
    ports = tuple(sorted(lab.topology.ports))
    lines = []
    for frame in frames[-LAST_FRAMES:]:
        seconds = (frame.time_ns - frames[0].time_ns) / 1e9
        arrow = "->" if frame.outgoing else "<-"
        where = f"{frame.node}/{frame.interface}"
        lines.append(f"{seconds:10.6f} {where:<24} {arrow} {frame.summary(ports)}")
    if len(frames) > LAST_FRAMES:
        lines.insert(0, f"(the last {LAST_FRAMES} of {len(frames)} frames)")
    lost = sum(recorder.dropped for recorder in lab.recorders.values())
    if lost:
        lines.append(f"({lost} more were lost: the recorder was not drained in time)")
    return "\n".join(lines) or "(none)"


def file_name(test: str) -> str:
    """A test's id as the name of a file; where the name says less than the id, with a checksum."""
    name = re.sub(r"[^A-Za-z0-9_.=-]+", "_", test).strip("_")
    if len(name) <= LONGEST_NAME and re.fullmatch(r"[\w./:=-]+(\[[\w.=-]+\])?", test, re.ASCII):
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(test.encode(errors='replace')).hexdigest()[:8]}"


def write_frames(lab: Lab, folder: Path, test: str) -> Path:
    """Write all recorded frames as pcapng to ``folder``; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file_name(test)}.pcapng"
    pcapng.write(path, frames_of(lab))
    return path


def write_evidence(lab: Lab, folder: Path, test: str, report: str) -> Path:
    """Keep a failed lab's evidence: report, plan, state and frames; returns its folder."""
    place = folder / file_name(test)
    place.mkdir(parents=True, exist_ok=True)
    _write(place / "report.txt", f"{report}\n")
    _write(place / "plan.txt", "".join(f"{operation}\n" for operation in lab.plan))
    _write(place / "frames.txt", frames_text(lab) + "\n")
    pcapng.write(place / "frames.pcapng", frames_of(lab))
    states = {name: state.to_json() for name, state in lab.state().items()}
    _write(place / "state.json", json.dumps(states, indent=1) + "\n")
    return place


def _write(path: Path, text: str) -> None:
    """Write a text whatever is in it, in the same way wherever that is done."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
