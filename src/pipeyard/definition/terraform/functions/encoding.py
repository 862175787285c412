"""Encoding functions."""

import base64
import binascii
import codecs
import csv
import io
import json
import re
import struct
import urllib.parse
import zlib
from typing import Any, NoReturn

from pipeyard.definition.terraform.conversion import normalised
from pipeyard.definition.terraform.functions.signature import Function, FunctionFault, Table, anything, string
from pipeyard.definition.terraform.json_text import encode_json
from pipeyard.definition.terraform.numbers import parse_number
from pipeyard.definition.terraform.values import (
    NULL,
    STRING,
    ObjectType,
    Value,
    boolean,
    list_of,
    number,
    object_of,
    text,
    tuple_of,
)
from pipeyard.definition.terraform.yaml_text import decode_yaml, encode_yaml

MAX_DEPTH = 200


def _decoded(given: str) -> bytes:
    try:
        return base64.b64decode(given.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise FunctionFault("the text is not base64") from None


def _base64_decode(given: Value) -> Value:
    try:
        return normalised(_decoded(given.raw).decode())
    except UnicodeDecodeError:
        raise FunctionFault("what the base64 stands for is not UTF-8 text") from None


def _base64_encode(given: Value) -> Value:
    return text(base64.b64encode(given.raw.encode()).decode())


def _base64_gzip(given: Value) -> Value:
    # Framed as Go does it: no time, an unknown system, a flush behind the text, and an empty last block.
    data = given.raw.encode()
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
    header, trailer = b"\x1f\x8b\x08\0\0\0\0\0\0\xff", struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return text(base64.b64encode(header + packed + b"\x01\0\0\xff\xff" + trailer).decode())


def _csv_decode(given: Value) -> Value:
    try:
        rows = [row for row in csv.reader(io.StringIO(given.raw, newline=""), strict=True) if row]
    except csv.Error as error:
        raise FunctionFault(f"the text is not CSV: {error}") from None
    if not rows:
        raise FunctionFault("the CSV has no header line")
    header = rows[0]
    if len(set(header)) != len(header):
        raise FunctionFault("two columns of the CSV have one name")
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise FunctionFault(f"line {line} of the CSV has {len(row)} fields, not {len(header)}")
    kind = ObjectType(tuple((name, STRING) for name in sorted(header)))
    records = [object_of({name: text(cell) for name, cell in zip(header, row, strict=True)}) for row in rows[1:]]
    return list_of(records, kind)


class _Digits(str):
    """A number of JSON as it was written."""

    __slots__ = ()


def _json_decode(given: Value) -> Value:
    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON")

    try:
        plain = json.loads(given.raw, parse_float=_Digits, parse_int=_Digits, parse_constant=refuse)
        return _from_json(plain)
    except (ValueError, RecursionError) as error:
        raise FunctionFault(f"the text is not JSON: {error}") from None


def _from_json(plain: Any) -> Value:
    match plain:
        case None:
            return NULL
        case bool():
            return boolean(plain)
        case _Digits():
            return number(parse_number(plain))
        case str():
            return normalised(plain)
        case dict():
            return object_of({name: _from_json(item) for name, item in plain.items()})
        case _:
            return tuple_of([_from_json(item) for item in plain])


def _json_encode(given: Value) -> Value:
    return text(encode_json(given))


def _codec(name: str) -> str:
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        found = None
    if found is None or not found._is_text_encoding or re.fullmatch(r"(?i)utf(8|16|32).*", name):
        raise FunctionFault(f"there is no encoding {name!r}")
    return found.name


def _text_encode(given: Value, encoding: Value) -> Value:
    name = _codec(encoding.raw)
    try:
        # UTF-16 without a word about its order of bytes is big-endian here, with a mark.
        made = codecs.BOM_UTF16_BE + given.raw.encode("utf-16-be") if name == "utf-16" else given.raw.encode(name)
    except UnicodeEncodeError:
        raise FunctionFault(f"the text has characters that {encoding.raw} does not have") from None
    return text(base64.b64encode(made).decode())


def _text_decode(given: Value, encoding: Value) -> Value:
    try:
        return normalised(_decoded(given.raw).decode(_codec(encoding.raw)))
    except UnicodeDecodeError:
        raise FunctionFault(f"the bytes are not text in {encoding.raw}") from None


def _url_encode(given: Value) -> Value:
    return text(urllib.parse.quote_plus(given.raw))


def _yaml_decode(given: Value) -> Value:
    return decode_yaml(given.raw)


def _yaml_encode(given: Value) -> Value:
    return text(encode_yaml(given))


FUNCTIONS: Table = {
    "base64decode": Function(_base64_decode, (string("str"),), returns=STRING),
    "base64encode": Function(_base64_encode, (string("str"),), returns=STRING),
    "base64gzip": Function(_base64_gzip, (string("str"),), returns=STRING),
    "csvdecode": Function(_csv_decode, (string("str"),)),
    "jsondecode": Function(_json_decode, (string("str"),)),
    "jsonencode": Function(_json_encode, (anything("val", null=True),), returns=STRING),
    "textdecodebase64": Function(_text_decode, (string("source"), string("encoding")), returns=STRING),
    "textencodebase64": Function(_text_encode, (string("string"), string("encoding")), returns=STRING),
    "urlencode": Function(_url_encode, (string("str"),), returns=STRING),
    "yamldecode": Function(_yaml_decode, (string("src"),)),
    "yamlencode": Function(_yaml_encode, (anything("value", null=True),), returns=STRING),
}
