# The same calls by the numbers of another interface.
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(0x40000000 + 521, 0x4206, os.getppid(), 0, 0) == 0 or libc.syscall(0x40000000 + 39) > 0:
    print("GOT THROUGH: x32")
