# Attaching to another process.
import ctypes, glob, os
libc = ctypes.CDLL(None, use_errno=True)
for folder in glob.glob("/proc/[0-9]*"):
    pid = int(folder.split("/")[2])
    if pid != os.getpid() and libc.ptrace(0x4206, pid, 0, 0) == 0:
        print("GOT THROUGH: attached to", pid)
