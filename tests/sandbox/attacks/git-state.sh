# Greenloop's own state: releases with their environment.
cat .git/greenloop/targets/local/record.json
