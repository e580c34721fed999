"""twilio for Python, 6 to 9: the documentation's samples with nothing changed but each domain's address; through a tunnel
(no SIDEKEY_URL) not even that."""

import json
import os
import re
from collections.abc import Callable

from cases import check, run
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client

URL, SEEDS, KEY_SID = os.environ.get("SIDEKEY_URL"), int(os.environ["SEEDS"]), os.environ["KEY_SID"]
ACCOUNT, TOKEN = os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"]
SEEDED = {f"seed {number}" for number in range(SEEDS)}


def connect(token: str = TOKEN) -> Client:
    client = Client(ACCOUNT, token)
    if URL:
        client.api.base_url = URL
        client.messaging.base_url = f"{URL}/messaging.twilio.com"
    return client


client = connect()


def refused(call: Callable[[], object], status: int = 403, code: int = 20403) -> None:
    """The SDK raises its own exception, as it does for Twilio's own refusals."""
    try:
        got = call()
    except TwilioRestException as error:
        check((error.status, error.code) == (status, code), f"{error.status} {error.code}: {error.msg}")
    except TwilioException as error:
        # What a list raises: the whole answer is its second argument.
        answer = error.args[1]
        told = (answer.status_code, json.loads(answer.text)["code"])
        check(told == (status, code), told)
    else:
        raise AssertionError(f"not refused: {got}")


def sends_a_message() -> None:
    message = client.messages.create(body="Never gonna give you up.", from_="+15017122661", to="+15558675310")
    check(re.fullmatch("(SM|MM)[0-9a-f]{32}", message.sid), message.sid)
    check(message.body == "Never gonna give you up.", message.body)
    check(client.messages(message.sid).fetch().sid == message.sid)


def reads_every_page_of_a_list() -> None:
    messages = client.messages.list(page_size=50)
    check(SEEDED <= {message.body for message in messages}, len(messages))
    check(len({message.sid for message in messages}) == len(messages), "a message came twice")


def reads_every_page_by_absolute_links() -> None:
    services = client.messaging.services.list(page_size=50)
    check({service.friendly_name for service in services} == SEEDED and len(services) == SEEDS, len(services))


def stops_where_it_is_told() -> None:
    check(len(client.messages.list(limit=60, page_size=50)) == 60)


def is_refused_every_key_operation() -> None:
    refused(lambda: client.keys.list())
    refused(lambda: client.keys(KEY_SID).fetch())
    refused(lambda: client.new_keys.create(friendly_name="User Joey"))
    refused(lambda: client.keys(KEY_SID).update(friendly_name="friendly_name"))
    refused(lambda: client.keys(KEY_SID).delete())
    refused(lambda: client.signing_keys.list())
    refused(lambda: client.new_signing_keys.create())


def is_refused_accounts() -> None:
    refused(lambda: client.api.accounts.list())
    refused(lambda: client.api.accounts(ACCOUNT).fetch())
    refused(lambda: client.api.accounts.create(friendly_name="sub"))
    refused(lambda: client.api.accounts("AC" + "0" * 32).messages.list(limit=1))


def gets_nowhere_with_a_sid_that_climbs() -> None:
    for sid in ("../Keys", "SM1%2f..%2f..%2fKeys", "x/../../Keys", "..;/Keys"):
        try:
            got = client.messages(sid).fetch()
        except TwilioRestException as error:
            check(error.status in (400, 403), f"{sid}: {error.status} {error.code}")
        else:
            raise AssertionError(f"{sid}: {got}")


def is_refused_with_a_wrong_token() -> None:
    refused(lambda: connect(TOKEN[:-1] + ("a" if TOKEN[-1] != "a" else "b")).messages.list(limit=1), 401, 20003)
    refused(lambda: connect("nothing").messages.list(limit=1), 401, 20003)


def manages_keys() -> None:
    made = client.new_keys.create(friendly_name="User Joey")
    check(re.fullmatch("SK[0-9a-f]{32}", made.sid) and made.secret, made.sid)
    check(made.sid in [key.sid for key in client.keys.list()], "the new key is not listed")
    check(client.keys(made.sid).fetch().friendly_name == "User Joey")
    check(client.keys(made.sid).update(friendly_name="friendly_name").friendly_name == "friendly_name")
    check(client.keys(made.sid).delete() is True)
    refused(lambda: client.keys(made.sid).fetch(), 404, 20404)


COMMON = [sends_a_message, reads_every_page_of_a_list, reads_every_page_by_absolute_links, stops_where_it_is_told]
STANDARD = [
    is_refused_every_key_operation, is_refused_accounts, gets_nowhere_with_a_sid_that_climbs,
]
if URL:
    # In a tunnel the proxy's proof decides; what an SDK sends inside is replaced.
    STANDARD.append(is_refused_with_a_wrong_token)
run(COMMON + ([manages_keys] if os.environ["TEAM_KIND"] == "master" else STANDARD))
