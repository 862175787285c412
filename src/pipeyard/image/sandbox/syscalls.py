"""Numbers of the system calls that the filter names, for each architecture. Source: the kernel's syscall tables."""

from msgspec import Struct


class Numbers(Struct, frozen=True, kw_only=True):
    audit: int  # AUDIT_ARCH_*
    end: int  # the first number that this table does not know
    forbidden: tuple[int, ...]
    missing: tuple[int, ...]  # answered as if the kernel did not have them
    clone: int
    socket: int
    ioctl: int
    ptrace: int
    personality: int


# Since Linux 5.1 new calls have one number on all architectures.
_NEW_FORBIDDEN = {
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443,
    "lsm_set_self_attr": 460, "open_tree_attr": 467,
}  # fmt: skip
_NEW_MISSING = {
    # io_uring passes the filter by; clone3 hides its flags behind a pointer, and C libraries go back to clone.
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "clone3": 435,
}  # fmt: skip
_END = 470

_X86_64 = {
    "uselib": 134, "ustat": 136, "sysfs": 139, "vhangup": 153, "pivot_root": 155, "_sysctl": 156, "acct": 163,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "iopl": 172,
    "ioperm": 173, "create_module": 174, "init_module": 175, "delete_module": 176, "get_kernel_syms": 177,
    "query_module": 178, "quotactl": 179, "nfsservctl": 180, "lookup_dcookie": 212, "clock_settime": 227,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "migrate_pages": 256, "unshare": 272,
    "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300, "open_by_handle_at": 304, "setns": 308,
    "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "kexec_file_load": 320, "bpf": 321,
    "userfaultfd": 323, "syslog": 103,
}  # fmt: skip

_I386 = {
    "mount": 21, "umount": 22, "stime": 25, "settimeofday": 79, "uselib": 86, "swapon": 87, "reboot": 88,
    "ioperm": 101, "syslog": 103, "iopl": 110, "vhangup": 111, "vm86old": 113, "swapoff": 115, "umount2": 52,
    "create_module": 127, "init_module": 128, "delete_module": 129, "get_kernel_syms": 130, "quotactl": 131,
    "sysfs": 135, "_sysctl": 149, "vm86": 166, "query_module": 167, "nfsservctl": 169, "pivot_root": 217,
    "lookup_dcookie": 253, "clock_settime": 264, "kexec_load": 283, "add_key": 286, "request_key": 287,
    "keyctl": 288, "migrate_pages": 294, "unshare": 310, "move_pages": 317, "perf_event_open": 336,
    "fanotify_init": 338, "open_by_handle_at": 342, "setns": 346, "process_vm_writev": 348, "kcmp": 349,
    "finit_module": 350, "bpf": 357, "userfaultfd": 374, "acct": 51, "ustat": 62, "clock_settime64": 404,
}  # fmt: skip

_ARM64 = {
    "lookup_dcookie": 18, "umount2": 39, "mount": 40, "pivot_root": 41, "nfsservctl": 42, "vhangup": 58, "quotactl": 60,
    "acct": 89, "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106, "clock_settime": 112,
    "syslog": 116, "reboot": 142, "settimeofday": 170, "add_key": 217, "request_key": 218, "keyctl": 219,
    "swapon": 224, "swapoff": 225, "migrate_pages": 238, "move_pages": 239, "perf_event_open": 241,
    "fanotify_init": 262, "open_by_handle_at": 265, "setns": 268, "process_vm_writev": 271, "kcmp": 272,
    "finit_module": 273, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
}  # fmt: skip

_MISSING = tuple(_NEW_MISSING.values())

X86_64 = Numbers(
    audit=0xC000003E, end=_END, forbidden=(*_X86_64.values(), *_NEW_FORBIDDEN.values()), missing=_MISSING,
    clone=56, socket=41, ioctl=16, ptrace=101, personality=135,
)  # fmt: skip
I386 = Numbers(
    audit=0x40000003, end=_END, forbidden=(*_I386.values(), *_NEW_FORBIDDEN.values()), missing=_MISSING,
    clone=120, socket=359, ioctl=54, ptrace=26, personality=136,
)  # fmt: skip
ARM64 = Numbers(
    audit=0xC00000B7, end=_END, forbidden=(*_ARM64.values(), *_NEW_FORBIDDEN.values()), missing=_MISSING,
    clone=220, socket=198, ioctl=29, ptrace=117, personality=92,
)  # fmt: skip

ARCHITECTURES = (X86_64, I386, ARM64)
