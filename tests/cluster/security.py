"""The ways in which users secure a NATS server."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import nkeys
import trustme


class Key:
    """A key of NATS: an operator, an account or a user."""

    def __init__(self, prefix: int) -> None:
        self.seed = nkeys.encode_seed(os.urandom(32), prefix)
        self.pair = nkeys.from_seed(bytearray(self.seed))
        self.public = self.pair.public_key.decode()

    def token(self, subject: Key, name: str, claims: dict[str, object]) -> str:
        """A JWT about `subject`, signed by this key."""
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        body = {"jti": name, "iat": 1, "iss": self.public, "name": name, "sub": subject.public}
        parts = ".".join(
            _base64(json.dumps(each).encode()) for each in (head, body | {"nats": claims})
        )
        return f"{parts}.{_base64(self.pair.sign(parts.encode()))}"


def accounts(folder: Path) -> tuple[str, Path]:
    """The configuration of a bus with one account, and the file of credentials of its user."""
    operator, user = Key(nkeys.PREFIX_BYTE_OPERATOR), Key(nkeys.PREFIX_BYTE_USER)
    account, system = Key(nkeys.PREFIX_BYTE_ACCOUNT), Key(nkeys.PREFIX_BYTE_ACCOUNT)
    unlimited = dict.fromkeys(("subs", "conn", "leaf", "imports", "exports", "data", "payload"), -1)
    own = operator.token(operator, "O", {"type": "operator", "version": 2})
    claims = {"type": "account", "version": 2}
    theirs = operator.token(account, "A", claims | {"limits": unlimited | {"wildcards": True}})
    for_system = operator.token(system, "S", claims | {"limits": unlimited | {"wildcards": True}})
    users = account.token(
        user, "U", {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
    )
    path = folder / "user.creds"
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{users}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    known = f"{account.public}: {theirs}, {system.public}: {for_system}"
    return (
        f"operator: {own}\nsystem_account: {system.public}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {known} }}\n"
    ), path


def certificates(folder: Path) -> tuple[str, Path, Path]:
    """The configuration of a bus that asks for certificates, our authority, and our certificate."""
    authority = trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("edge@example.org")
    ca, certificate, ours = (folder / name for name in ("ca.pem", "server.pem", "client.pem"))
    authority.cert_pem.write_to_path(str(ca))
    server.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    client.private_key_and_cert_chain_pem.write_to_path(str(ours))
    files = f'cert_file: "{certificate}", key_file: "{certificate}", ca_file: "{ca}"'
    return f"tls {{ {files}, verify: true }}", ca, ours


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
