//! Registries: the distribution API over HTTP, and who one is there.
