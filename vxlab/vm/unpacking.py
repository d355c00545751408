"""What a guest gives back: a tar that a program wrote which may be anything."""

from __future__ import annotations

import tarfile
from pathlib import Path

#: What tarfile raises at archives and members that are not as they should be.
_WRONG = (tarfile.TarError, OSError, ValueError, OverflowError, EOFError, KeyError)

#: The length of tar's header; one of zeros is an archive's end (tar(5)).
_HEADER = 512


def unpack(archive: Path, folder: Path) -> list[str]:
    """Put the files of ``archive`` into ``folder``, and nothing outside of it.

    Pipes, devices and links that lead out are left out, and so is what cannot be written; returns
    a line for each, ready to be shown.  An archive in which nothing was written has no files.
    """
    with archive.open("rb") as file:
        if not file.read(_HEADER).strip(b"\0"):
            return []
    left_out = []
    try:
        with tarfile.open(archive, "r:") as packed:
            for member in packed:
                why = _extract(packed, member, folder)
                left_out += [f"{member.name!r}: {why}"] if why else []
    except _WRONG as error:
        left_out.append(f"what follows, as the archive is damaged: {error}")
    return left_out


def _extract(packed: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> str:
    """Why a member was left out; '' where it was not."""
    try:
        packed.extract(member, folder, filter="data")
    except tarfile.SpecialFileError:
        return "no file with a content"
    except (tarfile.AbsoluteLinkError, tarfile.LinkOutsideDestinationError):
        return f"a link that leads out, to {member.linkname!r}"
    except tarfile.OutsideDestinationError:
        return "it would lie outside"
    except OSError as error:
        return error.strerror or str(error)
    except _WRONG as error:
        return str(error) or type(error).__name__
    return ""
