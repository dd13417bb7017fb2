"""Teaches schemathesis the media type of imports, which it does not know: the body goes out as it is."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="replace")
