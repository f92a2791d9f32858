# A credential in another process's arguments.
for file in /proc/[0-9]*/cmdline; do tr '\0' ' ' <"$file" 2>/dev/null; done
