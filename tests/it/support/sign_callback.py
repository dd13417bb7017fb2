"""Signs a callback as its senders do, by the reference library of Standard Webhooks, not by our own code.

Arguments: a file with the secret, the message's id, its time in Unix seconds. The body is read from stdin,
the signature is printed.
"""

import sys
from datetime import datetime, timezone
from pathlib import Path

from standardwebhooks import Webhook

secret_file, message_id, seconds = sys.argv[1:]
secret = Path(secret_file).read_text(encoding="ascii").strip()
time = datetime.fromtimestamp(int(seconds), tz=timezone.utc)
body = sys.stdin.buffer.read().decode()
print(Webhook(secret).sign(message_id, time, body))
