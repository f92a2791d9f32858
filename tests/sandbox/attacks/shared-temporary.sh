# Files that other programs leave in the machine's temporary folder.
cat /tmp/greenloop-canary-* 2>/dev/null
echo x >/tmp/greenloop-planted; echo x >/var/tmp/greenloop-planted; echo x >/run/greenloop-planted
exit 0
