# The folder of hooks as a link into the work tree.
mkdir hooks && printf '#!/bin/sh\ntouch %s/fired\n' "$OUTSIDE" >hooks/pre-push && chmod +x hooks/pre-push
rm -rf .git/hooks && ln -s "$PWD/hooks" .git/hooks
