# Rights and times of files that may only be read.
chmod 777 "$OUTSIDE/target" "$VICTIM_HOME/.ssh/id_ed25519"
touch -d '2001-01-01' "$OUTSIDE/target"
