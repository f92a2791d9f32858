# A datagram out, as DNS tunnels send them.
import os, socket
try:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"stolen", ("127.0.0.1", int(os.environ["UDP_PORT"])))
except OSError:
    pass
