# Links where Greenloop cleans up.
ln -s "$VICTIM_HOME" "$TMPDIR/link"
ln -s "$OUTSIDE" ~/link
mkdir -p "$TMPDIR/locked/inner" && ln -s "$OUTSIDE" "$TMPDIR/locked/inner/link" && chmod 000 "$TMPDIR/locked"
mv ~ ~.gone; ln -s "$VICTIM_HOME" ~
