# Doors of the kernel that no build needs.
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(128)
for number, name, arguments in (
    (321, "bpf", (0, buffer, 128)), (323, "userfaultfd", (1,)), (298, "perf_event_open", (buffer, 0, -1, -1, 0)),
    (103, "syslog", (10, 0, 0)), (310, "process_vm_readv", (os.getppid(), 0, 0, 0, 0, 0)), (312, "kcmp", (os.getpid(), os.getppid(), 1, 0, 0)),
    (303, "name_to_handle_at", (-100, b"/", buffer, buffer, 0)),
):
    if libc.syscall(number, *arguments) >= 0:
        print("GOT THROUGH:", name)
for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/fs/cgroup/release_agent", "/proc/sys/kernel/modprobe"):
    try:
        open(path, "r+").close()
        print("GOT THROUGH:", path)
    except OSError:
        pass
