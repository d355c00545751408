"""docs/reference.md is what the code says now, and has all that a reader looks up."""

from __future__ import annotations

import re
import subprocess
import sys

from project_tools import REPOSITORY

from vxlab import operations, vxlan
from vxlab.explain.diagnosis import CODES

PAGE = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_code_says() -> None:
    words = [sys.executable, "tools/write_reference.py"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == PAGE, "docs/reference.md is not what the code says: run `make docs`"


def test_every_operation_is_there_with_its_fields() -> None:
    calls = dict(re.findall(r"^### (\w+)\n\n`\1\((.*)\)`$", PAGE, re.MULTILINE))
    for name in operations.__all__:
        found = getattr(operations, name)
        if isinstance(found, type) and issubclass(found, operations.Operation):
            if found is operations.Operation:
                continue
            fields = list(found.__dataclass_fields__)
            listed = re.sub(r"\(.*?\)", "()", calls[name])
            assert [one.partition("=")[0] for one in listed.split(", ")] == fields, name


def test_every_code_and_every_attribute_has_a_row() -> None:
    assert [*re.findall(r"^\| `([\w-]+)` \| ", PAGE, re.MULTILINE)][-len(CODES) :] == [*CODES]
    for attribute in vxlan.ATTRIBUTES:
        assert f"| `{attribute.name}` | " in PAGE, attribute.name


def test_no_name_leads_into_private_modules() -> None:
    assert not re.findall(r"vxlab\.(?!operations)\w+", PAGE)
    assert "``" not in PAGE
