//! Pull requests with a run's patches, at Azure Repos and GitHub.
