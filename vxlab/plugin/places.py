"""Files and folders that options of the plugin name: looked at before any test is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from vxlab.system import files

#: Options that name a folder to write to, and those that name a file, as the config has them.
_FOLDERS = {"vxlab_pcap": "--vxlab-pcap", "vxlab_evidence": "--vxlab-evidence"}
_FILES = {"vxlab_behaviours": "--vxlab-behaviours"}


def configure(config: pytest.Config) -> None:
    """UsageError where nothing can be written to what an option names."""
    for name, option in _FOLDERS.items():
        given: Path | None = config.getoption(name)
        if given is not None and not config.option.collectonly:
            try:
                place(config, given).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise refusal(option, "a folder to write to", given, error) from error
    for name, option in _FILES.items():
        given = config.getoption(name)
        if given is not None:
            try:
                files.check_writable(place(config, given))
            except OSError as error:
                raise refusal(option, "a file to write to", given, error) from error


def named(text: str) -> Path:
    """The path that a word of the command line means; for ``type=``, which makes no path of ""."""
    if not text or "\0" in text:
        raise ValueError(text)
    return Path(text)


def place(config: pytest.Config, path: Path) -> Path:
    """``path`` as the command line has meant it, wherever a test has gone to meanwhile."""
    return config.invocation_params.dir / path


def refusal(option: str, wanted: str, path: Path, error: Exception) -> pytest.UsageError:
    """What to raise where an ``option`` ``wanted`` what the ``path`` is not, by that ``error``."""
    found = error.strerror if isinstance(error, OSError) else str(error)
    return pytest.UsageError(f"{option}: wanted {wanted}, found {path}: {found}: name another")
