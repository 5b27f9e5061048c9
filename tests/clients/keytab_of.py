"""Writes a keytab with the AES256 key that a password makes, without asking a domain ([RFC 3962] 4).

usage: keytab_of.py FILE SPN REALM KVNO PASSWORD SALT
"""

import hashlib
import os
import struct
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ITERATIONS = 4096
ETYPE = 18
# "kerberos", folded to one block of AES ([RFC 3961] A.1).
FOLDED = bytes.fromhex("6b65726265726f737b9b5b2b93132b93")

file, spn, realm, kvno, password, salt = sys.argv[1:]


def block(key, plain):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(plain) + encryptor.finalize()


def text(words):
    return struct.pack(">H", len(words)) + words.encode()


seed = hashlib.pbkdf2_hmac("sha1", password.encode(), salt.encode(), ITERATIONS, 32)
first = block(seed, FOLDED)
key = first + block(seed, first)
parts = spn.split("/")
entry = struct.pack(">H", len(parts)) + text(realm) + b"".join(text(part) for part in parts)
entry += struct.pack(">IIBHH", 1, 0, int(kvno) & 0xFF, ETYPE, len(key)) + key + struct.pack(">I", int(kvno))
with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
    out.write(b"\x05\x02" + struct.pack(">i", len(entry)) + entry)
print("true")
