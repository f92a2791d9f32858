# A local socket without a file.
import os, socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    try:
        s = socket.socket(socket.AF_UNIX, kind)
        s.connect("\0" + os.environ["ABSTRACT"])
        s.send(b"stolen")
    except OSError:
        pass
