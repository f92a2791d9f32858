# Families of sockets that no namespace holds, and raw ones.
import socket
for family, kind, protocol in ((16, 3, 15), (17, 3, 0x300), (38, 5, 0), (40, 1, 0), (2, 3, 1), (44, 3, 0), (16, 3, 9), (16, 3, 12)):
    try:
        socket.socket(family, kind, protocol)
        if (family, kind) not in ((2, 3),):
            print("GOT THROUGH: family", family, "protocol", protocol)
    except OSError:
        pass
