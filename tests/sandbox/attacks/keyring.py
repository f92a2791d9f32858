# Keys that outlive the command, and the session's.
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(248, b"user", b"canary", b"x", 1, -4) >= 0:
    print("GOT THROUGH: add_key")
if libc.syscall(250, 0, -3, 0) >= 0 or libc.syscall(250, 6, -4) >= 0:
    print("GOT THROUGH: keyctl")
