"""How a suite of cases runs: one JSON line for each, for the harness to count."""

import json
import traceback
from collections.abc import Callable


def run(cases: list[Callable[[], None]]) -> None:
    """Runs each case; a failure says where, and the rest goes on."""
    for case in cases:
        detail = ""
        try:
            case()
        except Exception:
            detail = traceback.format_exc(limit=-3)
        print(json.dumps({"case": case.__name__.replace("_", " "), "ok": not detail, "detail": detail}), flush=True)


def check(holds: object, what: object = "") -> None:
    """Like assert, which -O would drop."""
    if not holds:
        raise AssertionError(what)
