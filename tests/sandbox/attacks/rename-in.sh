# Moving a folder that cannot be read into one that can.
mv "$VICTIM_HOME/.ssh" ./keys && cat keys/id_ed25519
mv "$OUTSIDE" ./outside
