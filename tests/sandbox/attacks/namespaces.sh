# Rights in a namespace of one's own.
unshare -Urm true && echo 'GOT THROUGH: unshare'
unshare -n true && echo 'GOT THROUGH: unshare -n'
nsenter -t 1 -m true && echo 'GOT THROUGH: nsenter'
bwrap --ro-bind / / true && echo 'GOT THROUGH: bwrap'
exit 0
