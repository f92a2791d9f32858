# Processes that start their successor before they are killed.
import os, signal, time
SURVIVOR = os.environ["SURVIVOR"]
for _ in range(8):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end = time.time() + 20
        while time.time() < end:
            if os.fork() != 0:
                os._exit(0)
        os.execve("/bin/sleep", ["sleep", SURVIVOR], {})
time.sleep(0.2)
