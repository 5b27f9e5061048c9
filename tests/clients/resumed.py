"""Connects again and again with the session of the connection before, as Windows does.

usage: resumed.py HOST PORT SERVER_NAME CA_FILE VERSION TIMES
Prints how many of them were resumed; then waits for a line, connects once more with the last session, and prints
whether that one was resumed and the hash of the certificate that it was shaken with.
"""

import hashlib
import json
import socket
import ssl
import sys


def main() -> None:
    host, port, name, ca_file, version, times = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)

    def connect(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession, bool, str]:
        with socket.create_connection((host, int(port)), timeout=30) as raw:
            with context.wrap_socket(raw, server_hostname=name, session=session) as tls:
                # With TLS 1.3 the tickets come after the handshake.
                tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                while tls.recv(4096):
                    pass
                seen = hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()
                return tls.session, tls.session_reused, seen

    session, _, _ = connect(None)
    resumed = 0
    for _ in range(int(times)):
        session, again, _ = connect(session)
        resumed += again
    print(json.dumps({"resumed": resumed, "of": int(times)}), flush=True)
    sys.stdin.readline()
    _, again, seen = connect(session)
    print(json.dumps({"resumed": again, "seen": seen}), flush=True)


main()
