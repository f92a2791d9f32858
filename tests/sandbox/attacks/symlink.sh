# A link out of the work tree, read and written through.
ln -s "$VICTIM_HOME" out
cat out/.ssh/id_ed25519
echo 'touch /tmp/fired' >>out/.bashrc
ln -s "$OUTSIDE/target" file && echo changed >file
