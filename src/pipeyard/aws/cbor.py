"""CBOR, as much of it as the RPC v2 protocol of the newer SDKs needs. Source: RFC 8949; Smithy RPC v2 CBOR."""

import math
import struct
from typing import Any

_MAX_DEPTH = 64


class Moment(float):
    """Seconds since 1970: tag 1."""


def encode(value: Any) -> bytes:
    out = bytearray()
    _put(out, value)
    return bytes(out)


def decode(data: bytes) -> Any:
    """Raises ValueError for anything but exactly one well-formed value."""
    reader = _Reader(data)
    value = reader.value(0)
    if reader.position != len(data):
        raise ValueError("more than one value")
    return value


def _put(out: bytearray, value: Any) -> None:
    match value:
        case None:
            out.append(0xF6)
        case bool():
            out.append(0xF5 if value else 0xF4)
        case Moment():
            out.append(0xC1)
            out += b"\xfb" + struct.pack(">d", value)
        case int():
            _head(out, 0 if value >= 0 else 1, value if value >= 0 else -1 - value)
        case float():
            out += b"\xfb" + struct.pack(">d", value)
        case bytes():
            _head(out, 2, len(value))
            out += value
        case str():
            data = value.encode()
            _head(out, 3, len(data))
            out += data
        case list():
            _head(out, 4, len(value))
            for each in value:
                _put(out, each)
        case dict():
            _head(out, 5, len(value))
            for key, each in value.items():
                _put(out, key)
                _put(out, each)
        case _:
            raise TypeError(f"{type(value).__name__} has no CBOR")


def _head(out: bytearray, major: int, argument: int) -> None:
    if argument < 24:
        out.append(major << 5 | argument)
        return
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * size):
            out.append(major << 5 | code)
            out += argument.to_bytes(size, "big")
            return
    raise TypeError("an integer of more than 64 bits")


_BREAK = object()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.position = 0
        self._data = data

    def value(self, depth: int, *, may_break: bool = False) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        first = self._take(1)[0]
        major, code = first >> 5, first & 31
        if major == 7:
            return self._simple(code, may_break)
        length = self._argument(code) if code != 31 else None
        match major:
            case 0:
                return self._definite(length)
            case 1:
                return -1 - self._definite(length)
            case 2:
                return self._bytes(length, 2)
            case 3:
                return self._bytes(length, 3).decode()
            case 4:
                return self._items(length, depth)
            case 5:
                return self._map(length, depth)
            case _:
                tagged = self.value(depth + 1)
                if self._definite(length) == 1 and isinstance(tagged, int | float):
                    return Moment(tagged)
                return tagged

    def _items(self, length: int | None, depth: int) -> list[Any]:
        out: list[Any] = []
        while length is None or len(out) < length:
            each = self.value(depth + 1, may_break=length is None)
            if each is _BREAK:
                break
            out.append(each)
        return out

    def _map(self, length: int | None, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        count = 0
        while length is None or count < length:
            key = self.value(depth + 1, may_break=length is None)
            if key is _BREAK:
                break
            if not isinstance(key, str):
                raise ValueError("a key that is no text")
            out[key] = self.value(depth + 1)
            count += 1
        return out

    def _bytes(self, length: int | None, major: int) -> bytes:
        if length is not None:
            return self._take(length)
        out = bytearray()
        while (first := self._take(1)[0]) != 0xFF:
            if first >> 5 != major or first & 31 == 31:
                raise ValueError("a wrong piece of a string")
            out += self._take(self._argument(first & 31))
        return bytes(out)

    def _simple(self, code: int, may_break: bool) -> Any:
        match code:
            case 20 | 21:
                return code == 21
            case 22 | 23:
                return None
            case 25 | 26 | 27:
                number = struct.unpack({25: ">e", 26: ">f", 27: ">d"}[code], self._take(1 << (code - 24)))[0]
                if not math.isfinite(number):
                    raise ValueError("a number that is none")
                return number
            case 31 if may_break:
                return _BREAK
        raise ValueError("a value that is not of JSON's kind")

    def _argument(self, code: int) -> int:
        if code < 24:
            return code
        if code > 27:
            raise ValueError("a wrong length")
        return int.from_bytes(self._take(1 << (code - 24)), "big")

    def _definite(self, length: int | None) -> int:
        if length is None:
            raise ValueError("a number without end")
        return length

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self._data):
            raise ValueError("it ends in the middle")
        taken = self._data[self.position : end]
        self.position = end
        return taken
