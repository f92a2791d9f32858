# Another program in Greenloop's place.
cp /bin/true "$PROGRAM"
cp /bin/true "$PROGRAM.new" && mv "$PROGRAM.new" "$PROGRAM"
ln -sf /bin/true "$PROGRAM"
