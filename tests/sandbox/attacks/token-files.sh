# Files with tokens in the home folder, and of package managers in what is shown of it.
cd "$VICTIM_HOME" && cat .netrc .git-credentials .npmrc .pypirc .cargo/credentials.toml \
  .m2/settings.xml .gradle/gradle.properties .gem/credentials .gitconfig
