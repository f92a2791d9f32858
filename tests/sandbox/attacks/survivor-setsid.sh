# A process without its environment, in a session of its own.
env -i setsid sh -c "exec sleep $SURVIVOR" >/dev/null 2>&1 </dev/null &
sleep 0.2
