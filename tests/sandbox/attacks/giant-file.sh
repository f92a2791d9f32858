# A file without end, and one that only looks so.
truncate -s 200G giant && echo 'GOT THROUGH: a sparse file'
fallocate -l 6G full && echo 'GOT THROUGH: an allocated file'
dd if=/dev/zero of=seek bs=1 count=1 seek=20G 2>/dev/null && echo 'GOT THROUGH: a seek'
exit 0
