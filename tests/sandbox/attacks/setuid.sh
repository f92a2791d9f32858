# A program that runs as the user for everybody.
cp /bin/sh ./shell
chmod u+s ./shell 2>/dev/null
[ ! -u ./shell ] || echo 'GOT THROUGH: chmod'
python3 -c 'import os; os.close(os.open("made", os.O_CREAT | os.O_WRONLY, 0o4755))' 2>/dev/null
[ ! -u ./made ] || echo 'GOT THROUGH: open'
install -m 4755 /bin/sh ./installed 2>/dev/null
[ ! -u ./installed ] || echo 'GOT THROUGH: install'
