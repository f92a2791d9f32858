# Typing into the terminal.
import fcntl, os, pty, termios
master, slave = pty.openpty()
for file in (slave, 0, 1, 2):
    try:
        fcntl.ioctl(file, termios.TIOCSTI, b"x")
        print("GOT THROUGH: TIOCSTI")
    except OSError:
        pass
try:
    os.open("/dev/tty", os.O_RDWR)
    print("GOT THROUGH: the user's terminal")
except OSError:
    pass
