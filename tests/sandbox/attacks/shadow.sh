# The system's own secrets.
for file in /etc/shadow /etc/gshadow /etc/ssh/ssh_host_*_key /etc/sudoers; do
  [ ! -s "$file" ] || { head -c 1 "$file" >/dev/null && echo "GOT THROUGH: $file"; }
done 2>/dev/null
