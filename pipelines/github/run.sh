#!/usr/bin/env bash
# Runs Greenloop and says what became of it (action.yml). `--output github` writes annotations, the
# summary and the outputs of the run; this script adds what a run that did not start cannot say.
set -uo pipefail

fail() { # CODE OUTCOME MESSAGE
  echo "::error title=Greenloop::$3"
  { echo "exit-code=$1"; [ -z "$2" ] || echo "outcome=$2"; } >>"$GITHUB_OUTPUT"
  exit "$1"
}

read -ra more <<<"${INPUT_ARGS:-}"
case $INPUT_COMMAND in
run | verify | pr)
  command=(greenloop "$INPUT_COMMAND")
  [ -z "$INPUT_ENVIRONMENT" ] || command+=(--environment "$INPUT_ENVIRONMENT")
  [ -z "$INPUT_CONFIG" ] || command+=(--config "$INPUT_CONFIG")
  if [ "$INPUT_COMMAND" = run ] && [ -n "$INPUT_MAX_ITERATIONS" ]; then
    command+=(--max-iterations "$INPUT_MAX_ITERATIONS")
  fi
  if [ "$INPUT_COMMAND" != verify ] && [ "$INPUT_APPROVED" = true ]; then
    command+=(--yes)
  fi
  command+=(--output github ${more[@]+"${more[@]}"})
  ;;
heal)
  [ -n "$INPUT_HEAL" ] || fail 2 unusable "the input heal is empty: it is the command to repair"
  command=(greenloop heal --output github)
  [ -z "$INPUT_MAX_ITERATIONS" ] || command+=(--max-iterations "$INPUT_MAX_ITERATIONS")
  command+=(${more[@]+"${more[@]}"} -- "$INPUT_HEAL")
  ;;
*) fail 2 unusable "the input command is '$INPUT_COMMAND': use run, verify, pr or heal" ;;
esac

"${command[@]}"
code=$?
case $code in
0) echo "exit-code=0" >>"$GITHUB_OUTPUT" ;;
1) fail 1 '' "the failure was not repaired and needs a person: see the job's summary" ;;
2) fail 2 unusable "the configuration or the arguments are invalid; nothing was run" ;;
3) fail 3 '' "something that Greenloop depends on is unreachable or unusable: run greenloop doctor" ;;
4) fail 4 '' "the deployment failed; the last verified release was restored" ;;
5) fail 5 held "another run holds the environment: run this job again when it has ended" ;;
130) fail 130 '' "cancelled" ;;
*) fail $code '' "greenloop ended with exit code $code" ;;
esac
