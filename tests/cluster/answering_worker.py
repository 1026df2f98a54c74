"""A worker that answers each connection with its process id, for tests of what keeps it running."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path


def obey() -> None:
    for line in sys.stdin:
        if json.loads(line) == {"bus": None}:
            totals = {"messages": 5, "sent_bytes": 0, "connections": 1}
            sys.stdout.write(json.dumps({"totals": totals}) + "\n")
            sys.stdout.flush()
            os._exit(0)
    os._exit(3)


def main() -> None:
    task = json.loads(sys.stdin.readline())
    marker = Path(task["settings"]["folder"], f"fails-{task['number']}")
    if marker.exists():
        if reason := marker.read_text():
            sys.stdout.write(json.dumps({"refused": reason}) + "\n")
        sys.exit(1)
    threading.Thread(target=obey, daemon=True).start()
    sock = socket.create_server(("127.0.0.1", task["settings"]["usdm_port"]), reuse_port=True)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    while True:
        connection, _ = sock.accept()
        connection.sendall(str(os.getpid()).encode())
        connection.close()


main()
