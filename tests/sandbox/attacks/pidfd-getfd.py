# Taking an open file from another process.
import ctypes, glob, os
libc = ctypes.CDLL(None, use_errno=True)
for folder in glob.glob("/proc/[0-9]*"):
    pid = int(folder.split("/")[2])
    if pid == os.getpid():
        continue
    handle = libc.syscall(434, pid, 0)
    for number in range(8):
        if handle >= 0 and libc.syscall(438, handle, number, 0) >= 0:
            print("GOT THROUGH: file", number, "of", pid)
