# A folder beside the repository, which may be read.
echo changed >"$OUTSIDE/target"
echo new >"$OUTSIDE/new"
rm -rf "$OUTSIDE/folder"
truncate -s 0 "$OUTSIDE/target"
