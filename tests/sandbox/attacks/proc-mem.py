# Credentials in the memory of other processes.
import glob, os
for maps in glob.glob("/proc/[0-9]*/maps"):
    if maps.split("/")[2] in (str(os.getpid()), "self"):
        continue
    try:
        mem = open(os.path.dirname(maps) + "/mem", "rb", 0)
        for line in open(maps):
            if "[stack]" not in line and "[heap]" not in line:
                continue
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            mem.seek(start)
            if b"CANARY-" in mem.read(end - start):
                print("GOT THROUGH: memory of", maps)
    except OSError:
        pass
