# The record of what was done.
for file in logs/runs/*/audit.jsonl; do sed -i 's/a/b/' "$file"; : >"$file"; done
rm -rf logs
