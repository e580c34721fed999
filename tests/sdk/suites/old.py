"""twilio 5.7 for Python: sends no credentials until it is challenged, then the whole request again.

It was written for Python 2.7 to 3.7; the one thing it misses since is `cgi.parse_qs`, which moved long before.
"""

import os
import re
import sys
import types
import urllib.parse
from collections.abc import Callable

from cases import check, run

sys.modules["cgi"] = types.ModuleType("cgi")
sys.modules["cgi"].parse_qs = urllib.parse.parse_qs

from twilio import TwilioRestException  # noqa: E402
from twilio.rest import TwilioRestClient  # noqa: E402

URL, KEY_SID, SEEDS = os.environ["SIDEKEY_URL"], os.environ["KEY_SID"], int(os.environ["SEEDS"])
ACCOUNT, TOKEN = os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"]

client = TwilioRestClient(ACCOUNT, TOKEN, base=URL)


def refused(call: Callable[[], object], status: int = 403, code: int = 20403) -> None:
    try:
        got = call()
    except TwilioRestException as error:
        check((error.status, error.code) == (status, code), f"{error.status} {error.code}: {error.msg}")
    else:
        raise AssertionError(f"not refused: {got}")


def sends_a_message() -> None:
    message = client.messages.create(to="+15558675310", from_="+15017122661", body="Never gonna give you up.")
    check(re.fullmatch("(SM|MM)[0-9a-f]{32}", message.sid), message.sid)
    check(client.messages.get(message.sid).body == "Never gonna give you up.")


def reads_every_page_of_a_list() -> None:
    bodies = set()
    try:
        for message in client.messages.iter():
            bodies.add(message.body)
    except RuntimeError as end:
        # How its generator ends since Python 3.7 (PEP 479).
        check(isinstance(end.__cause__, StopIteration), end.__cause__)
    check({f"seed {number}" for number in range(SEEDS)} <= bodies, len(bodies))


def is_refused_every_key_operation() -> None:
    refused(lambda: client.keys.list())
    refused(lambda: client.keys.get(KEY_SID))
    refused(lambda: client.keys.create(friendly_name="User Joey"))
    refused(lambda: client.keys.update(KEY_SID, friendly_name="friendly_name"))
    refused(lambda: client.keys.delete(KEY_SID))
    refused(lambda: client.accounts.list())


def is_refused_with_a_wrong_token() -> None:
    stranger = TwilioRestClient(ACCOUNT, "nothing", base=URL)
    refused(lambda: stranger.messages.list(), 401, 20003)


def manages_keys() -> None:
    key = client.keys.create(friendly_name="User Joey")
    check(re.fullmatch("SK[0-9a-f]{32}", key.sid) and key.secret, key.sid)
    check(key.sid in [each.sid for each in client.keys.list()], "the new key is not listed")
    check(client.keys.get(key.sid).friendly_name == "User Joey")
    client.keys.update(key.sid, friendly_name="friendly_name")
    check(client.keys.get(key.sid).friendly_name == "friendly_name")
    check(client.keys.delete(key.sid) is True)
    refused(lambda: client.keys.get(key.sid), 404, 20404)


COMMON = [sends_a_message, reads_every_page_of_a_list]
STANDARD = [is_refused_every_key_operation, is_refused_with_a_wrong_token]
run(COMMON + ([manages_keys] if os.environ["TEAM_KIND"] == "master" else STANDARD))
