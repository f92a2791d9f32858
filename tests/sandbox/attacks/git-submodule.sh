# A hook of a submodule.
mkdir -p .git/modules/sub/hooks && printf '#!/bin/sh\n' >.git/modules/sub/hooks/post-checkout
chmod +x .git/modules/sub/hooks/post-checkout
