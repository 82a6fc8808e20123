#!/bin/sh
# What every page of the site must have.
for page in app/*.html; do
  grep -q '<h1>' "$page" || { echo "$page:3:1: error: the page has no heading"; failed=yes; }
done
[ -z "$failed" ]
