# Settings that make git run a program.
git config core.fsmonitor "$PWD/evil" || printf '[core]\n\tfsmonitor = %s/evil\n' "$PWD" >>.git/config
git config core.hooksPath "$PWD/hooks"
git config filter.x.clean "$PWD/evil"
mkdir -p .git/info && echo '* filter=x' >.git/info/attributes
