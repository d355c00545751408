"""JSON as programs print it, which is not always JSON.

Seen so far: Ubuntu's ``ip`` prints a vxlan device's fan map as plain text into the middle
(``"id":5fan-map ,"local":…``), and that of iproute2 5.9 the type of a route as a key without a
value (``{"local","dst":…``; https://github.com/iproute2/iproute2/issues/37).
"""

from __future__ import annotations

import json
import re
from typing import Any

_VALUE = r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null'
_TOKEN = re.compile(rf"{_VALUE}|\s+|.", re.DOTALL)
_OPENING, _ENDING = ("{", "["), ("}", "]", ",")


def read_json(text: str) -> Any:
    """What a program printed as JSON, as Python's lists, dicts, words and numbers.

    Broken JSON is mended by :func:`repaired`.  ValueError where ``text`` is no JSON for all that.
    """
    try:
        return json.loads(text)
    except ValueError:
        if not text.lstrip().startswith(_OPENING):
            raise
        return json.loads(repaired(text))


def repaired(text: str) -> str:
    """JSON without the plain text that was printed into it, and with a value for each key.

    What stands between a value and the next ``,``, ``]`` or ``}``, and what is no value where one
    should be, is left out.  A key that has no value gets ``true``.  Sound JSON stays as it is.
    """
    kept: list[str] = []
    within = [""]  # the brackets that are open
    last = ""  # the token before, of those that matter
    for token in _TOKEN.findall(text):
        if token.isspace():
            kept.append(token)
        elif token in _ENDING:
            kept += [":true", token] if last == "key" else [token]
            if token != ",":
                within.pop() if len(within) > 1 else None
            last = "," if token == "," else "value"
        elif last == "value" or (last == "key" and token != ":"):
            continue  # plain text
        elif token in _OPENING or token == ":":
            kept.append(token)
            within += [token] if token != ":" else []
            last = token
        elif len(token) > 1 or token.isdigit():
            kept.append(token)
            last = "key" if within[-1] == "{" and last in ("{", ",") else "value"
    return "".join(kept)
