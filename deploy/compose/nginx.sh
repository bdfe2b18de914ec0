#!/bin/sh
# Starts nginx on the files of deploy/nginx, with four things changed: the name, the certificate's
# place, where logs go, and how the web processes are reached (over TCP, for want of systemd's sockets).
set -eu
sed -e 's|unix:/run/atelier/web-\([12]\)\.sock|web-\1:8000|' /deploy/nginx/http.conf > /tmp/http.conf
for file in /deploy/nginx/site.conf /deploy/compose/bucket.conf; do
    sed -e 's|/etc/letsencrypt/live/atelier\.example\.com/|/tls/|' \
        -e 's|/var/log/nginx/atelier-error\.log|/dev/stderr|' \
        -e 's|/var/log/nginx/atelier\.log|/dev/stdout|' \
        -e "s|atelier\.example\.com|$ATELIER_HOST|" "$file" > "/tmp/${file##*/}"
done
exec nginx -c /deploy/compose/nginx.conf -g 'daemon off;'
