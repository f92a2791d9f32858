# Disks and memory, by their files and by new ones.
for file in /dev/sd* /dev/vd* /dev/nvme* /dev/mem /dev/kmsg /dev/loop0 /dev/fuse /dev/kvm /dev/vsock; do
  [ -e "$file" ] && head -c 1 "$file" >/dev/null && echo "GOT THROUGH: $file"
done 2>/dev/null
mknod ./disk b 254 0 2>/dev/null && head -c 1 ./disk >/dev/null && echo 'GOT THROUGH: mknod'
exit 0
