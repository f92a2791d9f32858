# Four hundred processes at the same time.
import os, time
children = []
for _ in range(400):
    pid = os.fork()
    if pid == 0:
        time.sleep(20)
        os._exit(0)
    children.append(pid)
time.sleep(1)
if all(os.path.exists(f"/proc/{pid}") for pid in children):
    print("GOT THROUGH: 400 processes")
