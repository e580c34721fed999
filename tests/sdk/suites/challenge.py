"""Programs of the standard library that send no credentials until they are challenged."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request

from cases import check, run

URL, KIND = os.environ["SIDEKEY_URL"], os.environ["TEAM_KIND"]
ACCOUNT, TOKEN = os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"]
MESSAGES, KEYS = (f"{URL}/2010-04-01/Accounts/{ACCOUNT}/{name}" for name in ("Messages", "Keys"))

passwords = urllib.request.HTTPPasswordMgr()
# By realm: the name in the challenge must be Twilio's own.
passwords.add_password("Twilio API", URL, ACCOUNT, TOKEN)
opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))


def refusal(url: str) -> urllib.error.HTTPError:
    try:
        opener.open(url, timeout=30)
    except urllib.error.HTTPError as error:
        return error
    raise AssertionError("not refused")


def is_challenged_as_twilio_does() -> None:
    try:
        urllib.request.urlopen(f"{MESSAGES}.json", timeout=30)
    except urllib.error.HTTPError as error:
        check(error.code == 401 and error.headers["WWW-Authenticate"] == 'Basic realm="Twilio API"', error.headers)
        check(json.loads(error.read())["code"] == 20003)
    else:
        raise AssertionError("not challenged")


def sends_a_message_on_the_second_try() -> None:
    form = {"To": "+15558675310", "From": "+15017122661", "Body": "Never gonna give you up."}
    with opener.open(f"{MESSAGES}.json", urllib.parse.urlencode(form).encode(), timeout=30) as answer:
        check(answer.status == 201 and json.loads(answer.read())["body"] == form["Body"], answer.status)


def is_refused_keys_in_the_format_asked_for() -> None:
    answer = refusal(f"{KEYS}.json")
    check(answer.code == 403 and json.loads(answer.read())["code"] == 20403, answer.code)
    for url in (KEYS, f"{KEYS}.xml"):
        answer = refusal(url)
        text = answer.read()
        check(answer.code == 403 and b"<RestException>" in text and b"<Code>20403</Code>" in text, text)


def lists_keys_in_either_format() -> None:
    with opener.open(f"{KEYS}.json", timeout=30) as answer:
        check(json.loads(answer.read())["keys"], "no keys")
    with opener.open(KEYS, timeout=30) as answer:
        check(b"<TwilioResponse><Keys" in answer.read(), "not XML")


COMMON = [is_challenged_as_twilio_does, sends_a_message_on_the_second_try]
run([*COMMON, lists_keys_in_either_format if KIND == "master" else is_refused_keys_in_the_format_asked_for])
