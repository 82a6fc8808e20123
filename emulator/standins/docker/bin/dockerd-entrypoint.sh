#!/bin/sh
# A stand-in for the entry point of the image docker:dind.
exec /stand-in/emulator stand-in dockerd "$@"
