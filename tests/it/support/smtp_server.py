"""A mail server that keeps what it is sent: `smtp_server.py DIRECTORY PORT [CERTIFICATE KEY USER PASSWORD]`.

The file `mode` in the directory says what it does with mail, as of each mail: `take`, `later` (451), `never` (550),
`hang` (it keeps the mail and does not answer). A recipient whose name begins so makes it fail at this mail alone, whatever
the mode: `cut` (it hangs up at the recipient), `cut-text` (at the text), `bye` (421), `login` (530).
SMTPUTF8 is offered if the file `smtputf8` is there. What it takes becomes `<number>.json`; each recipient that it is told of is a line
in `asked`. Its port is what it prints; 0 asks for a free one. With a certificate it wants STARTTLS and a login before anything else.
"""

import asyncio
import json
import os
import ssl
import sys
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

directory, port = sys.argv[1], int(sys.argv[2])


def mode():
    with open(os.path.join(directory, "mode"), encoding="ascii") as file:
        return file.read().strip()


class Keeper:
    def __init__(self):
        numbers = [name.split(".")[0] for name in os.listdir(directory) if name.endswith(".json")]
        self.number = len(numbers)

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        with open(os.path.join(directory, "asked"), "a", encoding="utf-8") as file:
            file.write(address + "\n")
        name = address.split("@")[0]
        if name == "cut":
            server.transport.abort()
        if name in ("bye", "login"):
            return {"bye": "421 4.7.0 closing", "login": "530 5.7.0 authentication required"}[name]
        if mode() == "later":
            return "451 4.3.2 come back later"
        if mode() == "never":
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 good"

    async def handle_DATA(self, server, session, envelope):
        if any(address.startswith("cut-text@") for address in envelope.rcpt_tos):
            server.transport.abort()
            return "451 nobody hears this"
        mail = message_from_bytes(envelope.content, policy=policy.default)
        part = lambda kind: mail.get_body(preferencelist=(kind,)).get_content().replace("\r\n", "\n")
        kept = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "text": part("plain"),
            "html": part("html"),
            "encrypted": session.ssl is not None,
            "login": session.auth_data.login.decode() if session.authenticated else None,
        }
        name = os.path.join(directory, f"{self.number:05}")
        self.number += 1
        with open(name + ".new", "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.rename(name + ".new", name + ".json")
        while mode() == "hang":
            await asyncio.sleep(0.05)
        return "250 2.0.0 kept"


async def serve():
    options = {}
    if len(sys.argv) > 3:
        certificate, key, user, password = sys.argv[3:7]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        def authenticate(server, session, envelope, mechanism, data):
            good = isinstance(data, LoginPassword) and (data.login, data.password) == (
                user.encode(),
                password.encode(),
            )
            return AuthResult(success=good, handled=False, auth_data=data)

        options = {
            "tls_context": context,
            "require_starttls": True,
            "authenticator": authenticate,
            "auth_required": True,
        }
    options["enable_SMTPUTF8"] = os.path.exists(os.path.join(directory, "smtputf8"))
    keeper = Keeper()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(keeper, loop=loop, **options), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
