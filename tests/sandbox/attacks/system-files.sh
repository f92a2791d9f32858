# Files of the system that run programs.
for file in /etc/cron.d/canary /etc/profile.d/canary.sh /usr/local/bin/canary /etc/ld.so.preload \
  /var/spool/cron/crontabs/root /etc/systemd/system/canary.service /opt/canary; do
  echo x >"$file" && echo "GOT THROUGH: $file"
done 2>/dev/null
