# A library that the launcher of the next command would load.
cc -shared -fPIC -o evil.so -x c - <<'C' 2>/dev/null || exit 0
#include <stdlib.h>
__attribute__((constructor)) static void fired(void) { system("touch \"$OUTSIDE/fired\""); }
C
LD_PRELOAD=$PWD/evil.so sh -c true
