# What the user's next shell runs.
echo 'touch /tmp/fired' >>"$VICTIM_HOME/.bashrc"
echo 'touch /tmp/fired' >>"$VICTIM_HOME/.profile"
mkdir -p "$VICTIM_HOME/.config/systemd/user" && echo x >"$VICTIM_HOME/.config/systemd/user/evil.service"
mkdir -p "$VICTIM_HOME/.local/bin" && cp /bin/sh "$VICTIM_HOME/.local/bin/git"
