//! Azure: identity, the container registry's tokens, AKS credentials, the key vault.
