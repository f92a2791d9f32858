# Files by their number instead of their path.
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
handle = ctypes.create_string_buffer(bytes([8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]))
mount = libc.open(b"/", 0)
if libc.open_by_handle_at(mount, handle, 0) >= 0:
    print("GOT THROUGH: open_by_handle_at")
