#!/usr/bin/env bash
# Deploys the function to Cloud Run with the settings of env.yaml.
#
#   ./deploy.sh [gcloud run deploy flags]
#
# REGION (europe-west1) and SERVICE (password-notice) may be set; the project is gcloud's own (gcloud config get project).
# The service account SERVICE@PROJECT.iam.gserviceaccount.com must exist and be allowed to read the two secrets.
set -euo pipefail
cd "$(dirname "$0")"

REGION=${REGION:-europe-west1}
SERVICE=${SERVICE:-password-notice}

die() {
  echo "deploy.sh: $*" >&2
  exit 1
}

[[ -f env.yaml ]] || die "env.yaml is missing: copy env.yaml.example and change what is yours."
PROJECT=$(gcloud config get project 2>/dev/null)
[[ -n $PROJECT ]] || die "no project is set: gcloud config set project PROJECT."

# The value of one name in env.yaml, without its quotes.
setting() {
  sed -n "s/^$1: *\"\{0,1\}\([^\"#]*\)\"\{0,1\}.*/\1/p" env.yaml
}

THREADS=$(setting THREADS)
[[ $THREADS =~ ^[0-9]+$ ]] || die "THREADS in env.yaml must be a number: it is the service's concurrency, too."

environment=$(mktemp)
trap 'rm -f "$environment"' EXIT
cat env.yaml - >"$environment" <<YAML

GOOGLE_CLOUD_PROJECT: "$PROJECT"
YAML

# Auth0 has no Google identity: the service is open to all, and the callout's signature is what lets a caller in.
gcloud run deploy "$SERVICE" \
  --source=. \
  --function=on_execute_post_change_password \
  --base-image=python313 \
  --region="$REGION" \
  --service-account="$SERVICE@$PROJECT.iam.gserviceaccount.com" \
  --env-vars-file="$environment" \
  --concurrency="$THREADS" \
  --cpu=1 \
  --memory=512Mi \
  --timeout=30s \
  --cpu-boost \
  --allow-unauthenticated \
  "$@"
