#!/bin/sh
# Runs a command beside a sound server of its own, whose default microphone hears its default loudspeaker.
set -eu
XDG_RUNTIME_DIR=$(mktemp -d)
export XDG_RUNTIME_DIR
server="pulseaudio -n --daemonize=yes --exit-idle-time=-1 -L module-native-protocol-unix
    -L 'module-null-sink sink_name=room rate=48000 channels=1'"
trap 'pulseaudio --kill 2>/dev/null || true; rm -rf "$XDG_RUNTIME_DIR"' EXIT
start="$server && pactl set-default-sink room && pactl set-default-source room.monitor"
eval $start
# What a test runs to see the server go and come again.
SOUND_SERVER_AGAIN="pulseaudio --kill; sleep 1; $(echo $start)"
export SOUND_SERVER_AGAIN
"$@"
