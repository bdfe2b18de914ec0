#!/bin/sh
# Write secrets/*.env for compose.yaml: new passwords and keys, and Shopify's, which it asks for in
# SHOPIFY_API_KEY and SHOPIFY_API_SECRET. Never overwrites: a database is lost without its TOKEN_KEYS.
set -eu
umask 077
cd "$(dirname "$0")/../.."
: "${SHOPIFY_API_KEY:?set it to the client id of your app}"
: "${SHOPIFY_API_SECRET:?set it to the client secret of your app}"
mkdir secrets

word() { openssl rand -hex 24; }
owner=$(word) web=$(word) worker=$(word) access_key=$(openssl rand -hex 10) secret_key=$(word)
url() { echo "DATABASE_URL=postgresql://$1:$2@postgres/atelier"; }
aws() { printf '%s\n' "AWS_ACCESS_KEY_ID=$access_key" "AWS_SECRET_ACCESS_KEY=$secret_key"; }

cat > secrets/atelier.env <<END
SHOPIFY_API_KEY=$SHOPIFY_API_KEY
SHOPIFY_API_SECRET=$SHOPIFY_API_SECRET
TOKEN_KEYS=$(date -u +%F)-$(openssl rand -hex 2):$(openssl rand -base64 32)
AWS_DEFAULT_REGION=us-east-1
AWS_EC2_METADATA_DISABLED=true
END
{ url atelier_web_login "$web"; aws; } > secrets/web.env
{ url atelier_worker_login "$worker"; aws; } > secrets/worker.env
url atelier_owner "$owner" > secrets/migrate.env
aws > secrets/seaweedfs.env
cat > secrets/postgres.env <<END
POSTGRES_PASSWORD=$(word)
OWNER_PASSWORD=$owner
WEB_PASSWORD=$web
WORKER_PASSWORD=$worker
END
echo "Wrote secrets/*.env. Keep a copy of secrets/atelier.env apart from the machine."
