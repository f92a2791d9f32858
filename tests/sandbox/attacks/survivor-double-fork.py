# A daemon: two forks, no open files, another name.
import os, time
SURVIVOR = os.environ["SURVIVOR"]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 256)
        os.environ.clear()
        os.execve("/bin/sh", ["sh", "-c", "sleep " + SURVIVOR], {})
    os._exit(0)
time.sleep(0.3)
