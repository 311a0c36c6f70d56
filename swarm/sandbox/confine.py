"""Take a process's own rights away for good, with Landlock and a seccomp filter.

Runs in the launcher's child, between fork and exec, under an interpreter without site packages:
besides the two libraries it knows the standard library alone. They are loaded by the child, on first
use: the launcher needs neither, nor what may be missing here. What follows holds for the program
that is executed next and for all that it starts, and cannot be undone by them.

What Landlock does not cover is closed by the filter: changing modes, times and attributes of files
by path, sockets, signals on kernels before 6.12, and calls newer than this list. File metadata
(names, sizes, times of what a path names) stays readable; the content of folders does not.

Sources: landlock(7) and linux/landlock.h for the accesses and scopes of each ABI; syscalls(2).
"""

import ctypes
import errno
import os
from typing import Any, NamedTuple

_LEAST_ABI = 2
"""Linux 5.19: before, files could not be moved between folders at all."""
_NETWORK_ABI, _SCOPE_ABI = 4, 6
_ALL_TCP = 0b11
_ALL_SCOPES = 0b11
"""Abstract unix sockets, and signals, to whatever was not started inside."""

_AF_UNIX, _SOCK_STREAM = 1, 1
_WORD = 0xFFFFFFFF
_LAST_KNOWN = 450
"""set_mempolicy_home_node. Numbers of calls are the same on all machines from 424 on."""
_END_OF_TABLE = 512
_CLONE3 = 435
_UNHEARD_OF = -1
_NUMBERS = {
    "openat2": 437, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
    "quotactl_fd": 443, "memfd_secret": 447, "process_mrelease": 448,
}  # fmt: skip
"""Calls that an older libseccomp has not heard of, which the kernel may have all the same."""

SUPERVISED = ("chmod", "fchmod", "fchmodat", "utimensat", "fork", "vfork", "clone")
"""Calls that the launcher makes in the command's place, or allows where the count permits."""

_FORBIDDEN = (
    # Sockets: with none, there is no network, and no way to a service of this machine.
    "socket connect bind listen accept accept4 "
    # Owner, attributes and times by path or by a descriptor that may only be read.
    "chown fchown lchown fchownat setxattr lsetxattr fsetxattr removexattr lremovexattr "
    "fremovexattr name_to_handle_at open_by_handle_at "
    # Other processes.
    "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd "
    "migrate_pages move_pages ioprio_set perf_event_open "
    # Memory and queues that this machine's users share, and keys.
    "shmget shmat shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open "
    "mq_unlink add_key request_key keyctl "
    # The machine itself.
    "unshare setns mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount "
    "fspick mount_setattr swapon swapoff reboot kexec_load kexec_file_load init_module "
    "finit_module delete_module bpf userfaultfd acct quotactl quotactl_fd syslog sethostname "
    "setdomainname settimeofday clock_settime adjtimex clock_adjtime ioperm iopl vhangup "
    "lookup_dcookie nfsservctl modify_ldt personality fanotify_init fanotify_mark"
)
_ABSENT = (
    # Programs do without these where a kernel has none: rings would pass by this filter, files
    # without a name are memory that nobody counts, and watching folders would show others' names.
    "io_uring_setup io_uring_enter io_uring_register memfd_create memfd_secret inotify_init "
    "inotify_init1 inotify_add_watch utime utimes futimesat"
)
_SIGNALS = "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal"
_SCHEDULING = (
    "sched_setaffinity sched_setparam sched_setscheduler sched_setattr"  # own thread alone
)
_NEW_NAMESPACES = (
    0x00000080, 0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_TERMINAL_REQUESTS = {
    "TIOCSTI": 0x5412,
    "TIOCLINUX": 0x541C,
    "FIOSETOWN": 0x8901,
    "SIOCSPGRP": 0x8902,
}
_FILE_REQUESTS = {"f": 0x66, "X": 0x58, "v": 0x76, "btrfs": 0x94}
"""Second bytes of requests that set flags and attributes of a file that may only be read."""
_DESCRIPTOR_REQUESTS = {
    "F_SETOWN": 8, "F_SETSIG": 10, "F_SETOWN_EX": 15, "F_SETLEASE": 1024, "F_NOTIFY": 1026,
}  # fmt: skip
"""They let the kernel send a signal in somebody's name, or make others wait for a file."""
_PR_SET_DUMPABLE = 4
"""Would hide the process from the watch over its memory."""
_O_ACCMODE, _O_TRUNC = 3, 0o1000


class Unconfined(Exception):  # a state, told to the operator
    """Say that this machine cannot take the rights away."""


class Grant(NamedTuple):
    """What a command may open; all paths exist."""

    writable: tuple[str, ...]
    """Folders with all that they hold."""
    readable: tuple[str, ...]
    """Folders with all that they hold, or files; programs in them may be run."""
    devices: tuple[str, ...]
    """Files that may be read and written, but not made, removed or run."""


def _ruleset() -> Any:
    """Return a ruleset that forbids TCP, foreign signals and abstract sockets too, where it can."""
    import landlock  # type: ignore[import-untyped]
    from landlock.plumbing import (  # type: ignore[import-untyped]
        RulesetAttr,
        get_create_ruleset,
    )

    class Fields(RulesetAttr):  # type: ignore[misc]  # the library has no types
        """The kernel's structure with the fields that the library does not know yet."""

        _fields_ = [("handled_access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]

    class Ruleset(landlock.Ruleset):  # type: ignore[misc]  # the library has no types
        def __post_init__(self) -> None:
            abi = landlock.landlock_abi_version()
            fields = Fields(self.restrict_rules)
            size = 8
            if abi >= _NETWORK_ABI:
                fields.handled_access_net, size = _ALL_TCP, 16
            if abi >= _SCOPE_ABI:
                fields.scoped, size = _ALL_SCOPES, 24
            ruleset = get_create_ruleset()(ctypes.byref(fields), size, 0)
            object.__setattr__(self, "_fd", ruleset)

    return Ruleset()


def _seccomp() -> Any:
    """Load the library that writes filters."""
    import pyseccomp  # type: ignore[import-untyped]

    return pyseccomp


def abi() -> int:
    """Return which Landlock this kernel has.

    Raises:
        Unconfined: None, or one that is too old.
    """
    import landlock

    try:
        found = int(landlock.landlock_abi_version())
    except OSError as error:
        raise Unconfined(f"this kernel has no Landlock ({error.strerror})") from error
    if found < _LEAST_ABI:
        raise Unconfined(f"Landlock ABI {found} of this kernel is too old: Linux 5.19 or newer")
    return found


def confine(grant: Grant) -> int:
    """Keep only the rights of the grant; return the descriptor of the supervised calls.

    Raises:
        Unconfined: The machine cannot do it; the process must then end.
    """
    try:
        _drop_capabilities()
        _restrict_files(grant)
        return _filter_calls(abi())
    except OSError as error:
        raise Unconfined(f"rights cannot be taken away here: {error}") from error


def _drop_capabilities() -> None:
    """Give up what root can; with no new privileges, no program brings it back."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")


def _restrict_files(grant: Grant) -> None:
    """Forbid every file but those of the grant, and set no-new-privileges."""
    import landlock

    access = landlock.FSAccess
    everything = access.all()
    reading = access.EXECUTE | access.READ_FILE | access.READ_DIR
    making = everything & ~(access.MAKE_CHAR | access.MAKE_BLOCK | access.MAKE_SOCK)
    # The library takes an old error for its own.
    ctypes.set_errno(0)
    rules = _ruleset()
    rules.allow(*grant.writable, rules=making)
    for path in grant.readable:
        # The kernel refuses a right to list that is given on a file.
        is_folder = os.path.isdir(path)  # noqa: PTH112  # a text all the way
        rules.allow(path, rules=reading if is_folder else reading & access.all_file())
    rules.allow(*grant.devices, rules=access.READ_FILE | access.WRITE_FILE)
    rules.apply()


def _filter_calls(landlock_abi: int) -> int:
    """Load the filter and return the descriptor on which supervised calls arrive.

    The library keeps that number to itself; the kernel takes the lowest that is free.
    """
    seccomp = _seccomp()
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    _forbid(rules)
    _forbid_by_argument(rules)
    if landlock_abi < _SCOPE_ABI:
        for name in _SIGNALS.split():
            _add(rules, seccomp.ERRNO(errno.EPERM), name)
    if landlock_abi < 3:
        _forbid_truncation(rules)
    # In a filter of their own: in one, a rule without arguments would replace those with some.
    # Of two filters that both know a call, the kernel obeys the one that refuses it.
    asking = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in SUPERVISED:
        _add(asking, seccomp.NOTIFY, name)
    listener = _lowest_free()
    asking.load()
    rules.load()
    return listener


def _forbid(rules: Any) -> None:
    seccomp = _seccomp()
    refused, absent = seccomp.ERRNO(errno.EPERM), seccomp.ERRNO(errno.ENOSYS)
    for name in _FORBIDDEN.split():
        _add(rules, refused, name)
    for name in _ABSENT.split():
        _add(rules, absent, name)
    # The C library falls back to `clone`, whose flags can be seen.
    rules.add_rule(absent, _CLONE3)
    for number in range(_LAST_KNOWN + 1, _END_OF_TABLE):
        rules.add_rule(absent, number)


def _forbid_by_argument(rules: Any) -> None:
    from pyseccomp import EQ, ERRNO, MASKED_EQ, NE, Arg

    no = ERRNO(errno.EPERM)
    # Pairs that are connected to each other are pipes; others can still be sent elsewhere.
    _add(rules, no, "socketpair", Arg(0, NE, _AF_UNIX))
    for kind in range(16):
        if kind != _SOCK_STREAM:
            _add(rules, no, "socketpair", Arg(1, MASKED_EQ, 0xF, kind))
    for flag in _NEW_NAMESPACES:
        _add(rules, no, "clone", Arg(0, MASKED_EQ, flag, flag))
    for request in _TERMINAL_REQUESTS.values():
        _add(rules, no, "ioctl", Arg(1, MASKED_EQ, _WORD, request))
    for kind in _FILE_REQUESTS.values():
        # As if the file system had none of them: programs do without.
        _add(rules, ERRNO(errno.ENOTTY), "ioctl", Arg(1, MASKED_EQ, 0xFF00, kind << 8))
    for request in _DESCRIPTOR_REQUESTS.values():
        _add(rules, no, "fcntl", Arg(1, MASKED_EQ, _WORD, request))
    _add(rules, no, "prctl", Arg(0, MASKED_EQ, _WORD, _PR_SET_DUMPABLE))
    for name in ("prlimit64", *_SCHEDULING.split()):
        _add(rules, no, name, Arg(0, NE, 0))
    _add(rules, no, "setpriority", Arg(0, NE, 0))
    _add(rules, no, "setpriority", Arg(0, EQ, 0), Arg(1, NE, 0))


def _forbid_truncation(rules: Any) -> None:
    """Close what Landlock leaves open before Linux 6.2: cutting a file that may only be read."""
    from pyseccomp import ERRNO, MASKED_EQ, Arg

    no = ERRNO(errno.EPERM)
    mask = _O_ACCMODE | _O_TRUNC
    _add(rules, no, "truncate")
    _add(rules, no, "open", Arg(1, MASKED_EQ, mask, _O_TRUNC))
    _add(rules, no, "openat", Arg(2, MASKED_EQ, mask, _O_TRUNC))
    _add(rules, ERRNO(errno.ENOSYS), "openat2")


def _add(rules: Any, action: int, name: str, *arguments: Any) -> None:
    """Add a rule, unless this machine has no such call."""
    seccomp = _seccomp()
    number = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
    if number == _UNHEARD_OF:
        if name not in _NUMBERS:
            raise Unconfined(f"libseccomp on this machine is too old: it does not know {name}")
        number = _NUMBERS[name]
    # A number below zero is a call of other machines.
    if number >= 0:
        rules.add_rule(action, number, *arguments)


def _lowest_free() -> int:
    number = os.dup(0)
    os.close(number)
    return number


def numbers(names: tuple[str, ...]) -> dict[str, int]:
    """Return the numbers of calls on this machine; those it does not have are left out."""
    seccomp = _seccomp()
    found = {name: seccomp.resolve_syscall(seccomp.Arch.NATIVE, name) for name in names}
    return {name: number for name, number in found.items() if number >= 0}
