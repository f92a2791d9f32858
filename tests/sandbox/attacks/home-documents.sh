# Anything else in the home folder.
find "$VICTIM_HOME" /home /root -type f -name '*canary*' -exec cat {} + 2>/dev/null
cat "$VICTIM_HOME/documents/canary.txt" "$VICTIM_HOME/other-repository/.env"
