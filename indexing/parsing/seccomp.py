"""Which system calls a parser process may make: a filter in the kernel (seccomp(2), BPF), for anybody.

A list of what is refused, not of what is allowed: LibreOffice, pandoc and tesseract come in many versions, and each
call they miss would be a document that is not read. Refused is what reaches beyond the process: other processes, the
network, name spaces, mounts, keys, the clock, and the metadata of files, which Landlock leaves alone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _DENY, _ABSENT, _IDLE = 0x7FFF0000, 0x00050000 | 13, 0x00050000 | 38, 0x00050000  # EACCES, ENOSYS, no error
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_FIRST_X32_CALL = 0x40000000  # the x32 numbers of x86_64 would get past the others
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # as audit(7) names it, column below
_AF_UNIX, _SOCK_STREAM = 1, 1
_NAMESPACES = 0x7E020000  # the CLONE_NEW* flags
_F_SETOWN, _F_SETOWN_EX = 8, 15
_SIGNALLING_REQUESTS = (0x5412, 0x541C, 0x8901, 0x8902)  # TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP

Step = tuple[int, int, int, int]

#: Refused whatever the arguments: (number on x86_64, on aarch64), None where the machine has no such call.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "perf_event_open": (298, 241),
    # leaving the process group, which the pool kills as one
    "setsid": (112, 157), "setpgid": (109, 154),
    # the network, and sockets that others listen on
    "connect": (42, 203), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # memory and queues shared with others
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193),
    "semctl": (66, 191), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "mq_open": (240, 180),
    # name spaces, mounts, handles
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    # the kernel
    "bpf": (321, 280), "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443), "syslog": (103, 116),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None),
    # metadata of files: Landlock does not look at it
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "fanotify_init": (300, 262),
}  # fmt: skip
#: Done for some arguments only, or not at all and without saying so.
WEIGHED: dict[str, tuple[int, int]] = {
    "socket": (41, 198), "socketpair": (53, 199), "clone": (56, 220), "clone3": (435, 435), "kill": (62, 129),
    "tgkill": (234, 131), "prlimit64": (302, 261), "fcntl": (72, 25), "ioctl": (16, 29),
    "bind": (49, 200), "listen": (50, 201),
}  # fmt: skip


def filter_calls(parent: int) -> str | None:
    """Refuse this process and its descendants what is listed above; return that in words, None where it is not done.

    *parent* is the service's process: no signal goes there, whatever Landlock's version. Wants no_new_privs to be set.
    """
    machine = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        return None
    architecture, column = machine
    program = _program(architecture, column, parent, -os.getpgrp() & 0xFFFFFFFF)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(header), 0, 0) != 0:
        return None
    return f"seccomp: {len(REFUSED)} system calls refused, {len(WEIGHED)} by their arguments"


def _program(architecture: int, column: int, parent: int, own_group: int) -> list[Step]:
    steps: list[Step] = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 1, 0, architecture),
        _return(_DENY),  # 32-bit calls on a 64-bit kernel: they have other numbers
        (_LOAD, 0, 0, 0),  # the number of the call
        (_AT_LEAST, 0, 1, _FIRST_X32_CALL),
        _return(_DENY),
    ]
    for numbers in REFUSED.values():
        if (number := numbers[column]) is not None:
            steps += [(_EQUAL, 0, 1, number), _return(_DENY)]
    for name, block in _weighing(parent, own_group).items():
        steps += [(_EQUAL, 0, len(block), WEIGHED[name][column]), *block]
    return [*steps, _return(_ALLOW)]


def _weighing(parent: int, own_group: int) -> dict[str, list[Step]]:
    """Return for each weighed call the steps that decide on it; each way through them ends in a return."""
    unix_streams = [
        _argument(0), (_EQUAL, 0, 4, _AF_UNIX),
        _argument(1), (_AND, 0, 0, 0xF), (_EQUAL, 0, 1, _SOCK_STREAM),  # datagrams need no connect to reach others
        _return(_ALLOW), _return(_DENY),
    ]  # fmt: skip
    not_the_parent = [_argument(0), (_EQUAL, 0, 1, parent), _return(_DENY)]
    requests = [(_EQUAL, len(_SIGNALLING_REQUESTS) - n, 0, r) for n, r in enumerate(_SIGNALLING_REQUESTS)]
    return {
        "socket": unix_streams,
        "socketpair": unix_streams,
        "clone": [_argument(0), (_ANY_BIT, 0, 1, _NAMESPACES), _return(_DENY), _return(_ALLOW)],
        "clone3": [_return(_ABSENT)],  # its flags are out of reach; every C library falls back to clone
        "kill": [*not_the_parent, (_AT_LEAST, 0, 1, 1 << 31), _return(_DENY), _return(_ALLOW)],  # nor any other group
        "tgkill": [*not_the_parent, _return(_ALLOW)],
        "prlimit64": [_argument(0), (_EQUAL, 0, 1, 0), _return(_ALLOW), _return(_DENY)],
        # Who gets a file's signals: this group (die_with_parent), and nobody else.
        "fcntl": [
            _argument(1), (_EQUAL, 4, 0, _F_SETOWN_EX), (_EQUAL, 0, 2, _F_SETOWN),
            _argument(2), (_EQUAL, 0, 1, own_group), _return(_ALLOW), _return(_DENY),
        ],
        # LibreOffice gives up when it cannot open its door, in /tmp, to others who want a file converted.
        "bind": [_return(_IDLE)],
        "listen": [_return(_IDLE)],
        "ioctl": [_argument(1), *requests, _return(_ALLOW), _return(_DENY)],
    }  # fmt: skip


def _argument(number: int) -> Step:
    """Load the low half of an argument: all of an int, and the flags of clone."""
    return (_LOAD, 0, 0, 16 + 8 * number)


def _return(action: int) -> Step:
    return (_RETURN, 0, 0, action)
