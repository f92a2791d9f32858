# A hook that the user's next commit runs.
printf '#!/bin/sh\ntouch %s/fired\n' "$OUTSIDE" >.git/hooks/post-commit
chmod +x .git/hooks/post-commit
