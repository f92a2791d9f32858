# The same by way of git's lock file, and of the configuration of one work tree.
printf '[core]\n\tsshCommand = %s/evil\n' "$PWD" >.git/config.lock && mv .git/config.lock .git/config
printf '[core]\n\tfsmonitor = %s/evil\n' "$PWD" >.git/config.worktree
