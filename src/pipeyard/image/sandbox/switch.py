"""A program of some hundred bytes that becomes another user and then the command.

bubblewrap run by root cannot change to a user of the image without a user namespace, in which ids would not be what
they are; and no image can be relied on to have a program that does. So we write one: an ELF file, made for one command,
whose code calls setgroups, setresgid, setresuid, tries to execute each candidate path of the command and, when none is
there, exits with 127 as a shell does (126: it is there and cannot be executed).
"""

import platform
import struct

from pipeyard.image.sandbox.contract import DEFAULT_PATH, Command, SandboxError

_BASE = 0x400000
_HEADERS = 64 + 56  # ELF header, one program header


def switch_program(command: Command) -> bytes:
    """The ELF file; its own arguments from the second on are the command's. Raises SandboxError on other machines."""
    machine = platform.machine()
    if machine == "x86_64":
        number, assemble = 62, _x86_64
    elif machine == "aarch64":
        number, assemble = 183, _aarch64
    else:
        raise SandboxError(f"USER is not supported on {machine}")
    code_size = len(assemble(command, 0, 0, 0, 0))
    data_at = _BASE + _HEADERS + code_size
    groups = b"".join(struct.pack("<I", group) for group in command.groups)
    candidates = [path.encode("utf-8", "surrogateescape") + b"\0" for path in _candidates(command)]
    groups_at = data_at
    padding = -(len(groups) + data_at) % 8
    table_at = groups_at + len(groups) + padding
    strings_at = table_at + 8 * len(candidates)
    table, at = b"", strings_at
    for text in candidates:
        table += struct.pack("<Q", at)
        at += len(text)
    message = b"the command was not found\n"
    code = assemble(command, groups_at, table_at, len(candidates), at)
    image = code + groups + bytes(padding) + table + b"".join(candidates) + message
    size = _HEADERS + len(image)
    header = struct.pack(
        "<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 2, number, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000) + image


def _candidates(command: Command) -> list[str]:
    program = command.arguments[0]
    if "/" in program:
        return [program]
    path = command.environment.get("PATH", DEFAULT_PATH)
    return [f"{folder or '.'}/{program}" for folder in path.split(":")]


_MESSAGE_SIZE = 26


def _x86_64(command: Command, groups_at: int, table_at: int, candidates: int, message_at: int) -> bytes:
    """rsp points at argc; argv[1:] begins 16 above, the environment behind argv's closing zero."""
    failed = b"\x48\x85\xc0\x0f\x85"  # test rax, rax; jnz rel32: to the end, which exits with 126
    steps = [
        _x86_call(116, len(command.groups), groups_at),
        _x86_call(119, command.gid, command.gid, command.gid),
        _x86_call(117, command.uid, command.uid, command.uid),
    ]
    body = (
        b"\x48\x8b\x04\x24"  # mov rax, [rsp]
        b"\x48\x8d\x54\xc4\x10"  # lea rdx, [rsp + rax*8 + 16]: envp
        b"\x48\x8d\x74\x24\x10"  # lea rsi, [rsp + 16]: argv + 1
        b"\x49\xbc" + struct.pack("<Q", table_at)  # mov r12, table
        + b"\x41\xbd" + struct.pack("<I", candidates)  # mov r13d, count
        + b"\x41\xbe" + struct.pack("<I", 127)  # mov r14d, 127: nothing found so far
    )  # fmt: skip
    loop = (
        b"\x49\x8b\x3c\x24"  # mov rdi, [r12]
        b"\xb8\x3b\x00\x00\x00"  # mov eax, 59: execve
        b"\x0f\x05"  # syscall; returns only when it failed
        b"\x48\x83\xf8\xfe"  # cmp rax, -ENOENT
        b"\x74\x0c"  # je next
        b"\x48\x83\xf8\xec"  # cmp rax, -ENOTDIR
        b"\x74\x06"  # je next
        b"\x41\xbe\x7e\x00\x00\x00"  # mov r14d, 126
        b"\x49\x83\xc4\x08"  # next: add r12, 8
        b"\x41\xff\xcd"  # dec r13d
    )
    loop += b"\x75" + struct.pack("<b", -(len(loop) + 2))  # jnz loop
    ending = (
        _x86_call(1, 2, message_at, _MESSAGE_SIZE)
        + b"\x44\x89\xf7"  # mov edi, r14d
        + b"\xb8\x3c\x00\x00\x00\x0f\x05"  # mov eax, 60: exit
    )
    refused = _x86_call(60, 126)
    tail = body + loop + ending + refused
    code = b""
    for index, step in enumerate(steps):
        later = sum(len(other) + len(failed) + 4 for other in steps[index + 1 :])
        code += step + failed + struct.pack("<i", later + len(tail) - len(refused))
    return code + tail


def _x86_call(number: int, *arguments: int) -> bytes:
    registers = (b"\x48\xbf", b"\x48\xbe", b"\x48\xba")  # movabs rdi, rsi, rdx
    code = b"".join(register + struct.pack("<Q", value) for register, value in zip(registers, arguments, strict=False))
    return code + b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"


def _aarch64(command: Command, groups_at: int, table_at: int, candidates: int, message_at: int) -> bytes:
    """sp points at argc; the same steps as above."""
    code: list[int] = []

    def load(register: int, value: int) -> None:
        code.append(0xD2800000 | (value & 0xFFFF) << 5 | register)  # movz
        # movk for the higher parts
        code.extend(0xF2800000 | shift << 21 | (value >> 16 * shift & 0xFFFF) << 5 | register for shift in (1, 2, 3))

    def call(number: int, *arguments: int) -> None:
        for register, value in enumerate(arguments):
            load(register, value)
        load(8, number)
        code.append(0xD4000001)  # svc 0

    checks: list[int] = []
    for number, arguments in (
        (159, (len(command.groups), groups_at)),
        (149, (command.gid,) * 3),
        (147, (command.uid,) * 3),
    ):
        call(number, *arguments)
        checks.append(len(code))
        code.append(0)  # cbnz x0, refused
    code.append(0xF94003E9)  # ldr x9, [sp]
    code.append(0x910043EA)  # add x10, sp, 16: argv + 1
    code.append(0x8B090D4B)  # add x11, x10, x9, lsl 3: envp
    load(12, table_at)
    load(13, candidates)
    load(14, 127)
    load(15, 126)
    loop = len(code)
    code.append(0xF9400180)  # ldr x0, [x12]
    code.append(0xAA0A03E1)  # mov x1, x10
    code.append(0xAA0B03E2)  # mov x2, x11
    load(8, 221)
    code.append(0xD4000001)  # svc 0: execve
    code.append(0xB100081F)  # cmn x0, 2: ENOENT
    code.append(0x54000080)  # b.eq next
    code.append(0xB100501F)  # cmn x0, 20: ENOTDIR
    code.append(0x54000040)  # b.eq next
    code.append(0xAA0F03EE)  # mov x14, x15
    code.append(0x9100218C)  # next: add x12, x12, 8
    code.append(0xF10005AD)  # subs x13, x13, 1
    code.append(0x54000001 | ((loop - len(code)) & 0x7FFFF) << 5)  # b.ne loop
    call(64, 2, message_at, _MESSAGE_SIZE)
    code.append(0xAA0E03E0)  # mov x0, x14
    load(8, 93)
    code.append(0xD4000001)  # svc 0: exit
    refused = len(code)
    call(93, 126)
    for at in checks:
        code[at] = 0xB5000000 | ((refused - at) & 0x7FFFF) << 5
    return b"".join(struct.pack("<I", word) for word in code)
