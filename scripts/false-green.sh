#!/bin/sh
# Patches that fake a pass, and honest ones, through `greenloop heal` with a reviewer that approves
# of everything: see false_green.py, which has the cases. Arguments are passed on.
exec python3 "$(dirname "$0")/false_green.py" "$@"
