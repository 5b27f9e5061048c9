"""Encrypts, decrypts and signs with MIT's library, so that what is made here shares no code with rmsc."""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int32, c_size_t, c_uint, c_void_p

TICKET, AUTHENTICATOR, PAC_SIGNATURE = 2, 11, 17


class _Data(ctypes.Structure):
    _fields_ = [("magic", c_int32), ("length", c_uint), ("data", c_char_p)]


class _Key(ctypes.Structure):
    _fields_ = [("magic", c_int32), ("etype", c_int32), ("length", c_uint), ("contents", c_char_p)]


class _Sealed(ctypes.Structure):
    _fields_ = [("magic", c_int32), ("etype", c_int32), ("version", c_uint), ("cipher", _Data)]


class _Checksum(ctypes.Structure):
    _fields_ = [("magic", c_int32), ("kind", c_int32), ("length", c_uint), ("contents", c_void_p)]


_library = ctypes.CDLL("libkrb5.so.3")
_crypto = ctypes.CDLL("libk5crypto.so.3")
_context = c_void_p()
assert _library.krb5_init_context(byref(_context)) == 0


def _data(plain: bytes) -> _Data:
    return _Data(0, len(plain), plain)


class Key:
    def __init__(self, etype: int, contents: bytes) -> None:
        self.etype, self.contents = etype, contents
        self._key = _Key(0, etype, len(contents), contents)

    def encrypt(self, usage: int, plain: bytes) -> bytes:
        length = c_size_t()
        _check(_crypto.krb5_c_encrypt_length(_context, self.etype, c_size_t(len(plain)), byref(length)))
        room = ctypes.create_string_buffer(length.value)
        sealed = _Sealed(0, 0, 0, _Data(0, length.value, ctypes.cast(room, c_char_p)))
        _check(_crypto.krb5_c_encrypt(_context, byref(self._key), usage, None, byref(_data(plain)), byref(sealed)))
        return room.raw[: sealed.cipher.length]

    def decrypt(self, usage: int, cipher: bytes) -> bytes:
        room = ctypes.create_string_buffer(len(cipher))
        plain = _Data(0, len(cipher), ctypes.cast(room, c_char_p))
        sealed = _Sealed(0, self.etype, 0, _data(cipher))
        _check(_crypto.krb5_c_decrypt(_context, byref(self._key), usage, None, byref(sealed), byref(plain)))
        return room.raw[: plain.length]

    def checksum(self, usage: int, kind: int, plain: bytes) -> bytes:
        made = _Checksum()
        _check(_crypto.krb5_c_make_checksum(_context, kind, byref(self._key), usage, byref(_data(plain)), byref(made)))
        out = ctypes.string_at(made.contents, made.length)
        _library.krb5_free_checksum_contents(_context, byref(made))
        return out


def _check(code: int) -> None:
    if code != 0:
        raise OSError(f"MIT's library says {code}")


_crypto.krb5_c_encrypt.argtypes = [c_void_p, POINTER(_Key), c_int32, c_void_p, POINTER(_Data), POINTER(_Sealed)]
_crypto.krb5_c_decrypt.argtypes = [c_void_p, POINTER(_Key), c_int32, c_void_p, POINTER(_Sealed), POINTER(_Data)]
_crypto.krb5_c_encrypt_length.argtypes = [c_void_p, c_int32, c_size_t, POINTER(c_size_t)]
_crypto.krb5_c_make_checksum.argtypes = [c_void_p, c_int32, POINTER(_Key), c_int32, POINTER(_Data), POINTER(_Checksum)]
_library.krb5_free_checksum_contents.argtypes = [c_void_p, POINTER(_Checksum)]
