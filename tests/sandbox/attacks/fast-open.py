# A connection that the first datagram makes.
import os, socket
try:
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.sendto(b"stolen", 0x20000000, ("127.0.0.1", int(os.environ["TCP_PORT"])))
except OSError:
    pass
