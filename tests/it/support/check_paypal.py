"""Checks calls to PayPal, and answers of the fake PayPal, against PayPal's own descriptions of its API.

Arguments: the directory with the descriptions. Each line of stdin is a JSON object: `schema`, the name of a schema of a
description; `body`, the text that has to be such a thing; `about`, what it is, for the message. What is wrong is
printed, line by line; then the program fails. The last line says how many were checked.
"""

import json
import re
import sys
from pathlib import Path

import jsonschema_rs

descriptions = Path(sys.argv[1])
payouts = json.loads((descriptions / "payments_payouts_batch_v1.json").read_text(encoding="utf-8"))
webhooks = json.loads((descriptions / "notifications_webhooks_v1.json").read_text(encoding="utf-8"))
# It has no place for a `+` or `/` at the beginning, which one signature of 32 has.
webhooks["components"]["schemas"]["verify_webhook_signature"]["properties"]["transmission_sig"].pop("pattern")

SCHEMAS = {
    "create_payout_request": payouts,
    "payout": payouts,
    "payout_batch": payouts,
    "payout_item-2": payouts,
    "error": payouts,
    "verify_webhook_signature": webhooks,
    "verify_webhook_signature_response": webhooks,
}
validators = {
    name: jsonschema_rs.Draft4Validator({**spec, "$ref": f"#/components/schemas/{name}"})
    for name, spec in SCHEMAS.items()
}
WHOLE = {"HUF", "JPY", "TWD"}
# What a batch id was first sent with.
seen = {}


def beyond_the_schema(text, body):
    """What PayPal's description does not say, and what would pay twice or nobody."""
    batch_id = body["sender_batch_header"].get("sender_batch_id")
    if not batch_id:
        yield "it has no sender_batch_id"
    elif seen.setdefault(batch_id, text) != text:
        yield f"{batch_id} was sent with other content before"
    currencies = {item["amount"]["currency"] for item in body["items"]}
    if len(currencies) != 1:
        yield f"it has the currencies {sorted(currencies)}"
    ids = [item.get("sender_item_id") for item in body["items"]]
    if not all(ids) or len(set(ids)) != len(ids):
        yield "an item has no id of its own"
    for item in body["items"]:
        amount = item["amount"]
        decimals = r"[1-9]\d*" if amount["currency"] in WHOLE else r"(0|[1-9]\d*)\.\d\d"
        if not re.fullmatch(decimals, amount["value"]) or not any(digit in amount["value"] for digit in "123456789"):
            yield f"{amount['value']} {amount['currency']} is no amount"
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", item["receiver"]):
            yield "a receiver is no address"
        if set(item) - {"recipient_type", "amount", "receiver", "sender_item_id", "note"}:
            yield f"an item has other fields: {sorted(item)}"


def problems(line):
    try:
        body = json.loads(line["body"])
    except ValueError as error:
        yield f"it is no JSON: {error}"
        return
    found = [error.message for error in validators[line["schema"]].iter_errors(body)]
    yield from found
    if not found and line["schema"] == "create_payout_request":
        yield from beyond_the_schema(line["body"], body)


count = 0
failed = False
for text in sys.stdin:
    line = json.loads(text)
    count += 1
    for problem in problems(line):
        failed = True
        print(f"{line['about']} ({line['schema']}): {problem}")
print(f"{count} checked")
sys.exit(1 if failed else 0)
