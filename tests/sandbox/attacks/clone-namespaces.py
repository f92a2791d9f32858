# The same by clone and clone3.
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
for flags in (0x10000000, 0x10020000, 0x40000000, 0x20000000):
    pid = libc.syscall(56, flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        print("GOT THROUGH: clone", hex(flags))
arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
pid = libc.syscall(435, arguments, 88)
if pid == 0:
    os._exit(0)
if pid > 0:
    print("GOT THROUGH: clone3")
