#!/bin/sh
# The password of the database comes from a file, and stands in no command, image or address.
set -eu
if [ -n "${PGPASSWORD_FILE:-}" ]; then
    PGPASSWORD=$(cat "$PGPASSWORD_FILE")
    export PGPASSWORD
fi
# In place of this shell, so that the service itself hears that it shall end.
exec genre "$@"
