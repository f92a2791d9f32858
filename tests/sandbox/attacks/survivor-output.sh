# A process that keeps the output open.
env -i setsid sleep "$SURVIVOR" &
