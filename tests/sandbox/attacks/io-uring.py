# A ring that opens files and sockets out of a filter's sight.
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(425, 8, ctypes.create_string_buffer(256)) >= 0:
    print("GOT THROUGH: io_uring")
