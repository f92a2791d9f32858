# More memory than is allowed.
import time
held = [bytearray(64 << 20) for _ in range(24)]
time.sleep(1)
print("GOT THROUGH:", len(held) * 64, "MiB")
