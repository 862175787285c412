"""The system call filter of a RUN, as a BPF program of our own assembling.

It forbids what reaches the kernel itself, other namespaces or the mounts of the sandbox, as Docker's default profile
does in spirit, and lets the rest through; calls newer than this table get ENOSYS, so that libraries fall back.
Sources: seccomp(2), linux/filter.h, the kernel's syscall tables, moby's profiles/seccomp/default_linux.go.
"""

import errno
import struct
from collections.abc import Iterator

from pipeyard.image.sandbox.syscalls import ARCHITECTURES, Numbers

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_RETURN = 0x06  # BPF_RET | BPF_K

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6] -- little endian on all that we know
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1 = 0, 4, 16, 24

_NAMESPACE_FLAGS = 0x7E020000 | 0x80  # CLONE_NEW*: user, pid, net, ipc, uts, cgroup, mount; 0x80: time
_ADDRESS_FAMILIES = (38, 40)  # AF_ALG, AF_VSOCK: kernel crypto and the hypervisor are none of a build's business
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_PTRACE_OTHERS = (16, 0x4206)  # PTRACE_ATTACH, PTRACE_SEIZE: a traced process 1 would never end; TRACEME is allowed
_TERMINAL_REQUESTS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing into somebody's terminal

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def program() -> bytes:
    """The filter for every architecture that this table knows, in the kernel's struct sock_filter form."""
    code: list[Instruction] = [(_LOAD_WORD, 0, 0, _ARCHITECTURE)]
    for numbers in ARCHITECTURES:
        block = list(_rules(numbers))
        code.append((_JUMP_EQUAL, 1, 0, numbers.audit))
        code.append((_JUMP, 0, 0, len(block)))
        code.extend(block)
    code.append(_fail(errno.ENOSYS))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


def _fail(number: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def _rules(numbers: Numbers) -> Iterator[Instruction]:
    yield (_LOAD_WORD, 0, 0, _NUMBER)
    # Also refuses the x32 calls of x86-64, whose numbers begin at 2**30.
    yield (_JUMP_AT_LEAST, 0, 1, numbers.end)
    yield _fail(errno.ENOSYS)
    for number in numbers.missing:
        yield (_JUMP_EQUAL, 0, 1, number)
        yield _fail(errno.ENOSYS)
    for number in numbers.forbidden:
        yield (_JUMP_EQUAL, 0, 1, number)
        yield _fail(errno.EPERM)
    yield from _when(numbers.clone, _argument_has_bits(_ARGUMENT_0, _NAMESPACE_FLAGS & ~0x80))
    yield from _when(numbers.socket, _argument_is_one_of(_ARGUMENT_0, _ADDRESS_FAMILIES))
    yield from _when(numbers.ptrace, _argument_is_one_of(_ARGUMENT_0, _PTRACE_OTHERS))
    yield from _when(numbers.ioctl, _argument_is_one_of(_ARGUMENT_1, _TERMINAL_REQUESTS))
    yield from _when(numbers.personality, _argument_is_none_of(_ARGUMENT_0, _PERSONALITIES))
    yield (_RETURN, 0, 0, _ALLOW)


def _when(number: int, checks: list[Instruction]) -> Iterator[Instruction]:
    """Checks that end by returning, for one call only."""
    yield (_JUMP_EQUAL, 0, len(checks), number)
    yield from checks


def _argument_has_bits(offset: int, bits: int) -> list[Instruction]:
    return [
        (_LOAD_WORD, 0, 0, offset),
        (_JUMP_ANY_BIT, 0, 1, bits),
        _fail(errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _argument_is_one_of(offset: int, values: tuple[int, ...]) -> list[Instruction]:
    checks: list[Instruction] = [(_LOAD_WORD, 0, 0, offset)]
    for value in values:
        checks += [(_JUMP_EQUAL, 0, 1, value), _fail(errno.EPERM)]
    return [*checks, (_RETURN, 0, 0, _ALLOW)]


def _argument_is_none_of(offset: int, values: tuple[int, ...]) -> list[Instruction]:
    checks: list[Instruction] = [(_LOAD_WORD, 0, 0, offset)]
    for value in values:
        checks += [(_JUMP_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*checks, _fail(errno.EPERM)]
