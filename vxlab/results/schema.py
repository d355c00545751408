"""The tables of a results file, and how a file is known to be one."""

from __future__ import annotations

import sqlite3

from vxlab.errors import VxlabError

#: Goes up whenever the tables change; files of another version are refused, never converted.
VERSION = 1
#: ``vxlb``: which program a database belongs to (https://www.sqlite.org/pragma.html).
APPLICATION = 0x76786C62

#: The fields of a cell that become known after it was planned.
DESCRIBED = frozenset(
    {
        "state",
        "seconds",
        "release",
        "tools",
        "config",
        "reason",
        "fingerprint",
        "last",
        "log",
    }
)

_TABLES = (
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        started TEXT NOT NULL,
        ended TEXT NOT NULL DEFAULT '',
        selection TEXT NOT NULL,
        version TEXT NOT NULL,
        host TEXT NOT NULL
    )""",
    """CREATE TABLE cell (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        kernel TEXT NOT NULL,
        iproute2 TEXT NOT NULL,
        backend TEXT NOT NULL,
        state TEXT NOT NULL,
        started TEXT NOT NULL DEFAULT '',
        seconds REAL NOT NULL DEFAULT 0,
        release TEXT NOT NULL DEFAULT '',
        tools TEXT NOT NULL DEFAULT '{}',
        config TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        fingerprint TEXT NOT NULL DEFAULT '',
        last TEXT NOT NULL DEFAULT '',
        log TEXT NOT NULL DEFAULT '',
        UNIQUE (run, kernel, iproute2, backend)
    )""",
    """CREATE TABLE case_ (
        cell INTEGER NOT NULL REFERENCES cell (id) ON DELETE CASCADE,
        nodeid TEXT NOT NULL,
        outcome TEXT NOT NULL,
        seconds REAL NOT NULL,
        reason TEXT NOT NULL,
        evidence TEXT NOT NULL,
        behaviour TEXT NOT NULL,
        known TEXT NOT NULL,
        UNIQUE (cell, nodeid)
    )""",
)


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Make the tables where the file is new, and set up a connection that writes."""
    connection.execute("PRAGMA foreign_keys = ON")
    if _is_empty(connection):
        connection.execute("BEGIN IMMEDIATE")
        if _is_empty(connection):  # still: another process may have been quicker
            for table in _TABLES:
                connection.execute(table)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    check(connection, path)  # before a file that is not ours gets another journal
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def check(connection: sqlite3.Connection, path: str) -> None:
    """VxlabError unless the file has results of this version."""
    if _number(connection, "application_id") != APPLICATION:
        found = "an empty one" if _is_empty(connection) else "a database of another program"
        raise VxlabError(f"{path}: wanted a results file of vxlab, found {found}: give another")
    version = _number(connection, "user_version")
    if version != VERSION:
        wanted = f"wanted results of version {VERSION}, found version {version}"
        raise VxlabError(f"{path}: {wanted}: use the vxlab that wrote them, or run again")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
