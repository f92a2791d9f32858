# A connection out: loopback is the nearest machine.
import os, socket
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    try:
        connection = socket.socket(family)
        connection.settimeout(2)
        connection.connect((address, int(os.environ["TCP_PORT"])))
        connection.sendall(b"stolen")
    except OSError:
        pass
