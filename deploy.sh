#!/usr/bin/env bash
# shellcheck disable=SC2317  # main calls most of these functions by the names of commands
# From clone to production and back. docs/deploy.md tells the whole way.
set -euo pipefail
((BASH_VERSINFO[0] >= 5)) || { echo "deploy.sh needs bash 5 (on a Mac: brew install bash)" >&2 && exit 1; }
shopt -s inherit_errexit

usage() {
  cat <<'TEXT'
usage: ./deploy.sh [-e FILE] [COMMAND] [-- GCLOUD-FLAGS]

  (none)                         set up what is missing, deploy, let the new revision serve
  plan                           print every gcloud command of a first run; change nothing
  secret NAME                    store a value of an Action secret; it comes from standard input
  draft                          deploy a revision without traffic, at an address of its own
  test                           send a signed sample to the draft, or else to what serves; nobody gets mail
  promote                        let the draft serve
  versions                       the address, and the revisions
  revert [REVISION]              let the deployment of REVISION serve again; without one, the deployment before
  rotate-signing-key [finish]    a new key beside the old; once Auth0 has it: the new one alone
  rotate-sendgrid-key [finish]   a new key, checked first, from standard input; once it works: the old ones off
  doctor [--json]                find what is wrong, and say how to mend it
  remove                         list what was set up, ask, delete it

  setup, deploy                  the two halves of (none), for teams in which different people do them

  -e FILE         the settings (env.yaml)
  GCLOUD-FLAGS    further flags for gcloud run deploy, such as --vpc-egress=all-traffic
TEXT
}

# The one way to gcloud: `ask` reads, `run` changes. For `plan` nothing is there yet, and nothing is changed.

gcloud_() { gcloud "$@" --project="$PROJECT" --quiet; }
ask() { ! $PLAN && gcloud_ "$@" 2>/dev/null </dev/null; }
run() {
  show "$@" --project="$PROJECT" --quiet >&3
  $PLAN || gcloud_ "$@"
}
show() {
  local word
  printf gcloud
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./:=@,+-]+$ ]]; then printf ' %s' "$word"; else printf ' %q' "$word"; fi
  done
  echo
}
# Google takes a while until all of it knows a new account, or an API that was just switched on.
run_patiently() {
  local pause
  for pause in 0 1 2 4; do
    sleep $((pause * PAUSE))
    if run "$@" </dev/null; then return; fi
  done
  die "this does not work: gcloud $*"
}

say() { $PLAN || printf '%s\n' "$@" >&2; }
die() {
  printf 'deploy.sh: %s\n' "$1" >&2
  (($# == 1)) || printf '  %s\n' "${@:2}" >&2
  exit 1
}

# ---- what env.yaml says ----

declare -A GIVEN=()
# The doctor has seen to it that every line of env.yaml has this form.
read_env_yaml() {
  local line form='^([A-Z][A-Z0-9_]*):[[:space:]]*("([^"]*)"|([^"#[:space:]]*))[[:space:]]*(#.*)?$'
  while IFS= read -r line || [[ -n $line ]]; do
    [[ ! $line =~ $form ]] || GIVEN[${BASH_REMATCH[1]}]=${BASH_REMATCH[3]}${BASH_REMATCH[4]}
  done <"$SETTINGS"
}

python() {
  if [[ ! -x $PYTHON ]]; then
    echo "first use: what the checks need is installed into .venv" >&2
    make --silent .venv/emulator >&2
  fi
  "$PYTHON" "$@"
}

read_settings() {
  [[ -f $SETTINGS ]] || die "$SETTINGS is missing: cp env.yaml.example env.yaml, and change what is yours."
  python -m doctor settings --env "$SETTINGS" --quiet || die "nothing was done: mend $SETTINGS first."
  read_env_yaml
  DELIVERY=${GIVEN[DELIVERY]:-queue}
  THREADS=${GIVEN[THREADS]:-80}
  REGION=${REGION:-${GIVEN[REGION]:-europe-west1}}
  SERVICE=${SERVICE:-${GIVEN[SERVICE]:-password-notice}}
  PROJECT=${GIVEN[GOOGLE_CLOUD_PROJECT]:-$(gcloud config get project 2>/dev/null || true)}
  [[ -n $PROJECT && $PROJECT != "(unset)" ]] ||
    die "no project: gcloud config set project PROJECT, or GOOGLE_CLOUD_PROJECT in $SETTINGS."
  DELIVER=$SERVICE-deliver QUEUE=$SERVICE
  # Direct mode is one function that does it all; queue mode has two sides, and only `deliver` may read SendGrid's key.
  SIDES=("$DELIVER" "$SERVICE")
  [[ $DELIVERY == queue ]] || SIDES=("$SERVICE")
  check_secrets
}
# deploy.sh can grant access to this project's secrets only.
check_secrets() {
  local name given
  for name in SENDGRID_API_KEY CALLOUT_SIGNING_KEY; do
    given=${GIVEN[${name}_SECRET]-}
    [[ -z $given || $given == "projects/$PROJECT/"* ]] || die "${name}_SECRET in $SETTINGS is not a secret of $PROJECT."
  done
}

# A project of the form example.com:name has its accounts at name.example.com.
account() { if [[ $PROJECT == *:* ]]; then email "$1" "${PROJECT#*:}.${PROJECT%%:*}"; else email "$1" "$PROJECT"; fi; }
email() { echo "$1@$2.iam.gserviceaccount.com"; }
sends_mail() { [[ $DELIVERY == direct || $1 == "$DELIVER" ]]; }

# A second service in the same project, such as password-notice-stage, has secrets of its own.
secret_id() {
  local given=${GIVEN[$1_SECRET]-} id=${1,,}
  id=${id//_/-}
  if [[ $given == projects/* ]]; then
    given=${given#projects/*/secrets/} && echo "${given%%/*}"
  elif [[ $SERVICE == password-notice ]]; then
    echo "$id"
  else
    echo "$SERVICE-$id"
  fi
}
secret_version() {
  local given=${GIVEN[$1_SECRET]-}
  if [[ $given == */versions/* ]]; then echo "${given##*/}"; else echo latest; fi
}

# The names of the secrets that a side reads: what env.yaml declares, beside the two that are always there.
secrets_of() {
  echo CALLOUT_SIGNING_KEY
  sends_mail "$1" || return 0
  echo SENDGRID_API_KEY
  local name
  for name in "${!GIVEN[@]}"; do
    [[ $name != *_SECRET || ${GIVEN[$name]} != "projects/$PROJECT/secrets/"* ]] || echo "${name%_SECRET}"
  done | grep -Evx 'CALLOUT_SIGNING_KEY|SENDGRID_API_KEY' | sort || true
}

# Mounted is the default: reading a file, the function starts about 0.2 s and 40 MB lighter than with Secret Manager's
# client, and a mounted `latest` is the newest value at each reading, so that rotation works alike.
is_mounted() { [[ ${GIVEN[SECRETS]-} != client ]]; }
mount_path() { echo "/secrets/$(secret_id "$1")/value"; }
resource() { echo "projects/$PROJECT/secrets/$(secret_id "$1")/versions/$(secret_version "$1")"; }
mounts_of() {
  local name list=
  for name in $(secrets_of "$1"); do
    list+=",$(mount_path "$name")=$(secret_id "$name"):$(secret_version "$name")"
  done
  echo "${list#,}"
}

# The environment of a side: env.yaml, less what is deploy.sh's own and what this side must not have, and the rest that
# only a deployment knows. The third argument is where a secret is to be found: mount_path or resource.
environment_of() {
  local side=$1 deliver_url=$2 place=$3 name
  for name in $(printf '%s\n' "${!GIVEN[@]}" | sort); do
    case $name in
      SERVICE | REGION | SECRETS | MIN_INSTANCES | MAX_INSTANCES | GOOGLE_CLOUD_PROJECT | THREADS | DELIVERY) continue ;;
      DELIVER_URL | DELIVER_INVOKER | TASKS_QUEUE) continue ;;
      *_SECRET)
        [[ ${GIVEN[$name]} == "projects/$PROJECT/"* ]] || ! sends_mail "$side" || entry "$name" "${GIVEN[$name]}"
        ;;
      *) entry "$name" "${GIVEN[$name]}" ;;
    esac
  done
  for name in $(secrets_of "$side"); do entry "${name}_SECRET" "$($place "$name")"; done
  entry GOOGLE_CLOUD_PROJECT "$PROJECT"
  entry THREADS "$THREADS"
  entry DELIVERY "$(if sends_mail "$side"; then echo direct; else echo queue; fi)"
  ! sends_mail "$side" || return 0
  entry TASKS_QUEUE "projects/$PROJECT/locations/$REGION/queues/$QUEUE"
  entry DELIVER_URL "$deliver_url"
  entry DELIVER_INVOKER "$(account "$SERVICE-invoker")"
}
entry() { [[ -z $2 ]] || printf '%s: "%s"\n' "$1" "$2"; }

# ---- before anything is changed ----

check_project() {
  local known billing
  command -v gcloud >/dev/null || die "gcloud is not installed: https://cloud.google.com/sdk/docs/install"
  ! $PLAN || return 0
  gcloud auth print-access-token >/dev/null 2>&1 || die "nobody is signed in: gcloud auth login."
  known=$(gcloud_ projects describe "$PROJECT" --format='value(lifecycleState)' 2>&1 </dev/null) ||
    die "the account $(who) cannot see the project $PROJECT: gcloud config set account, or set project." "$known"
  [[ $known != DELETE_* ]] || die "the project $PROJECT is being deleted."
  billing=$(ask billing projects describe "$PROJECT" --format='value(billingEnabled)') || true
  [[ $billing != False ]] ||
    die "the project $PROJECT has no billing: https://console.cloud.google.com/billing/linkedaccount?project=$PROJECT"
  say "$SERVICE ($DELIVERY) in $PROJECT, $REGION, as $(who)"
}
who() {
  local account
  account=$(gcloud config get account 2>/dev/null) || true
  echo "${account:-an account that gcloud does not name}"
}

check_rights() {
  ! $PLAN || return 0
  GOOGLE_ACCESS_TOKEN=$(token) python -m doctor "${@/#/rights-}" --project "$PROJECT" --quiet || die "nothing was done: ask for the rights first."
}
token() { gcloud auth print-access-token 2>/dev/null || true; }

# Auth0 has no Google identity: the public side is open to all, and the callout's signature lets a caller in. An
# organisation's policy may forbid the usual way (allUsers), the other way (no check of the invoker), or both.
check_policies() {
  local members invoker
  members=$(ask resource-manager org-policies describe iam.allowedPolicyMemberDomains --effective \
    --format='value(listPolicy.allowedValues,listPolicy.allValues)') || true
  invoker=$(ask org-policies describe run.managed.requireInvokerIam --effective \
    --format='value(spec.rules[0].enforce)') || true
  ALL_USERS=true
  [[ -z ${members//[[:space:]]/} || $members == *ALLOW* ]] || ALL_USERS=false
  [[ $ALL_USERS == true || $invoker != True ]] || forbidden
}
forbidden() {
  die "the organisation forbids a public service, by two policies of this project:" \
    "iam.allowedPolicyMemberDomains (no allUsers) and run.managed.requireInvokerIam (no service without that check)." \
    "Auth0 must be able to call $SERVICE. Ask who administers the organisation to lift one of them for $PROJECT alone," \
    "or put an API gateway with a service account of its own in front. Every callout is signed in either case."
}

# ---- set-up: what is there stays as it is ----

set_up() {
  enable_apis
  check_region
  make_account builder "builds $SERVICE"
  # Building needs the log, the source's bucket and the images' repository: Google's role for it, on the project. It is
  # the only grant on the project, and this account runs nothing.
  grant projects "$PROJECT" "serviceAccount:$(account "$SERVICE-builder")" roles/run.builder
  make_account "" "$SERVICE: the function"
  if [[ $DELIVERY == queue ]]; then
    make_account deliver "$SERVICE: sends the mail"
    make_account invoker "$SERVICE: Cloud Tasks calls deliver as this"
    make_queue
  fi
  make_secrets
  grant_all
}

enable_apis() {
  local api enabled missing=()
  enabled=$(ask services list --enabled --format='value(config.name)') || true
  for api in run cloudbuild artifactregistry iam secretmanager $([[ $DELIVERY == direct ]] || echo cloudtasks); do
    grep -qx "$api.googleapis.com" <<<"$enabled" || missing+=("$api.googleapis.com")
  done
  ((${#missing[@]} == 0)) || run services enable "${missing[@]}"
}

check_region() {
  local regions
  regions=$(ask run regions list --format='value(locationId)') || true
  [[ -z $regions ]] || grep -qx "$REGION" <<<"$regions" ||
    die "Cloud Run has no region $REGION. Set REGION in $SETTINGS to one of:" "$(paste -sd ' ' - <<<"$regions")"
  [[ $DELIVERY == queue ]] || return 0
  regions=$(ask tasks locations list --format='value(locationId)') || true
  [[ -z $regions ]] || grep -qx "$REGION" <<<"$regions" ||
    die "Cloud Tasks is not in $REGION. Set REGION in $SETTINGS to one of these, or DELIVERY to direct:" \
      "$(paste -sd ' ' - <<<"$regions")"
}

make_account() {
  local id=$SERVICE${1:+-$1}
  ask iam service-accounts describe "$(account "$id")" >/dev/null ||
    run_patiently iam service-accounts create "$id" --display-name="$2"
}

# Whatever is not 2xx is tried again for as long as Cloud Tasks keeps a task, 31 days, so that what a person repairs goes
# out. Durations stand in seconds, as the service answers them.
RETRIES=(--max-attempts=unlimited --min-backoff=10s --max-backoff=3600s --max-doublings=16 --max-retry-duration=0s)
make_queue() {
  local is
  if ! is=$(ask tasks queues describe "$QUEUE" --location="$REGION" --format='csv[no-heading](retryConfig.maxAttempts,
    retryConfig.minBackoff,retryConfig.maxBackoff,retryConfig.maxDoublings,retryConfig.maxRetryDuration,state)'); then
    run_patiently tasks queues create "$QUEUE" --location="$REGION" "${RETRIES[@]}"
  elif [[ ! $is =~ ^-1,10s,3600s,16,(0s)?, ]]; then
    run tasks queues update "$QUEUE" --location="$REGION" "${RETRIES[@]}"
  fi
  [[ ${is-} != *PAUSED ]] || say "the queue is paused: gcloud tasks queues resume $QUEUE --location=$REGION"
}

make_secrets() {
  local name
  for name in $(all_secrets); do make_secret "$name"; done
  has_value CALLOUT_SIGNING_KEY || new_signing_key | store CALLOUT_SIGNING_KEY
  for name in $(all_secrets); do
    [[ $name == CALLOUT_SIGNING_KEY ]] || has_value "$name" || ask_for "$name"
  done
}
all_secrets() { for side in "${SIDES[@]}"; do secrets_of "$side"; done | sort -u; }
make_secret() {
  ask secrets describe "$(secret_id "$1")" >/dev/null ||
    run_patiently secrets create "$(secret_id "$1")" --replication-policy=automatic --labels="app=$SERVICE"
}
has_value() {
  local state
  state=$(ask secrets versions describe "$(secret_version "$1")" --secret="$(secret_id "$1")" \
    --format='value(state)') || return
  [[ ${state,,} != disabled && ${state,,} != destroyed ]]
}
new_signing_key() { printf 'whsec_%s' "$(head -c 32 /dev/urandom | base64)"; }
ask_for() {
  if $PLAN; then store "$1" </dev/null && return; fi
  [[ -t 0 ]] || die "the secret $1 has no value yet, and everything before it is set up. Store it, and run this again:" \
    "  ./deploy.sh secret $1    (it asks; or: ./deploy.sh secret $1 <FILE)"
  secret "$1"
}

# A value goes from standard input to standard input: it is no argument, no environment variable, and in no log.
store() {
  run secrets versions add "$(secret_id "$1")" --data-file=- >/dev/null
  ! $PLAN || cat >/dev/null
}
value_of() { ask secrets versions access latest --secret="$(secret_id "$1")"; }

grant_all() {
  local side name
  for side in "${SIDES[@]}"; do
    for name in $(secrets_of "$side"); do
      grant secrets "$(secret_id "$name")" "serviceAccount:$(account "$side")" roles/secretmanager.secretAccessor
    done
  done
  [[ $DELIVERY == queue ]] || return 0
  # Once, in direct mode, it may have been the side that reads them.
  for name in $(secrets_of "$DELIVER"); do
    [[ $name == CALLOUT_SIGNING_KEY ]] || revoke secrets "$(secret_id "$name")" "serviceAccount:$(account "$SERVICE")" \
      roles/secretmanager.secretAccessor
  done
  grant "tasks queues" "$QUEUE" "serviceAccount:$(account "$SERVICE")" roles/cloudtasks.enqueuer --location="$REGION"
  grant "iam service-accounts" "$(account "$SERVICE-invoker")" "serviceAccount:$(account "$SERVICE")" \
    roles/iam.serviceAccountUser
}

# grant GROUP RESOURCE MEMBER ROLE [FLAG…]: adds the binding where it is not there yet.
grant() {
  local group resource=$2 member=$3 role=$4
  read -ra group <<<"$1" && shift 4
  ! is_granted "$member" "$role" "${group[@]}" get-iam-policy "$resource" "$@" || return 0
  [[ ${group[0]} != projects ]] || set -- --condition=None
  run_patiently "${group[@]}" add-iam-policy-binding "$resource" --member="$member" --role="$role" "$@" >/dev/null
}
revoke() {
  ! is_granted "$3" "$4" "$1" get-iam-policy "$2" ||
    run "$1" remove-iam-policy-binding "$2" --member="$3" --role="$4" "${@:5}" >/dev/null
}
is_granted() {
  local member=$1 role=$2 && shift 2
  [[ -n $(ask "$@" --flatten='bindings[].members' --filter="bindings.role=$role AND bindings.members=$member" \
    --format='value(bindings.role)') ]]
}

# ---- deployments ----

exists() { ask run services describe "$1" --region="$REGION" --format='value(metadata.name)' >/dev/null; }
url_of() {
  local url
  if $PLAN; then echo "https://$1-0123456789.$REGION.run.app" && return; fi
  url=$(ask run services describe "$1" --region="$REGION" --format='value(status.url)') || true
  [[ -n $url ]] || die "$1 is not deployed: ./deploy.sh"
  echo "$url"
}
draft_url_of() {
  local url
  url=$(url_of "$1")
  echo "${url/'://'/'://draft---'}"
}

deploy() {
  if [[ $DELIVERY == queue ]]; then
    deploy_side "$DELIVER" live
    grant "run services" "$DELIVER" "serviceAccount:$(account "$SERVICE-invoker")" roles/run.invoker --region="$REGION"
    serve "$DELIVER" --to-latest
  fi
  deploy_side "$SERVICE" live
  open_to_all
  serve "$SERVICE" --to-latest --remove-tags=draft
  ! $PLAN || return 0
  say "" "It serves at $(url_of "$SERVICE")" \
    "Next: ./deploy.sh test, then put the Action into Auth0 (docs/deploy.md), then ./deploy.sh doctor."
}

# deploy_side SERVICE live|draft: one revision of one side. The source and its requirements are the same for both.
deploy_side() {
  local side=$1 stage=$2 url='' function=on_execute_post_change_password timeout=15s flags=()
  if [[ $stage == draft && $DELIVERY == queue ]]; then
    url=$(draft_url_of "$DELIVER")
  elif ! sends_mail "$side"; then
    url=$(url_of "$DELIVER")
  fi
  [[ $side != "$DELIVER" ]] || function=deliver timeout=60s
  if is_mounted; then
    environment_of "$side" "$url" mount_path >"$SCRATCH/$side.yaml"
    flags+=(--set-secrets="$(mounts_of "$side")")
  else
    environment_of "$side" "$url" resource >"$SCRATCH/$side.yaml"
    flags+=(--clear-secrets)
  fi
  if [[ $side == "$DELIVER" ]]; then
    flags+=(--no-allow-unauthenticated --invoker-iam-check --ingress=internal)
  else
    flags+=(--ingress=all)
    # A service that is there keeps its door as it is: shut for the time of a deployment, it would lose callouts.
    exists "$side" || flags+=(--no-allow-unauthenticated)
  fi
  [[ $stage == live ]] || flags+=(--no-traffic --tag=draft)
  # Cloud Tasks shows a token for the draft's address: the service must take it as its own.
  [[ $stage == live || $side == "$SERVICE" ]] || flags+=(--add-custom-audiences="$url")
  ! $PLAN || sed 's/^/# /' "$SCRATCH/$side.yaml" >&3
  run run deploy "$side" --source=. --function="$function" --base-image=python313 --region="$REGION" \
    --service-account="$(account "$side")" \
    --build-service-account="projects/$PROJECT/serviceAccounts/$(account "$SERVICE-builder")" \
    --env-vars-file="$SCRATCH/$side.yaml" --concurrency="$THREADS" --cpu=1 --memory=512Mi --cpu-boost \
    --timeout="$timeout" --min="${GIVEN[MIN_INSTANCES]:-0}" --max-instances="${GIVEN[MAX_INSTANCES]:-10}" \
    --labels="app=$SERVICE,deployment=$DEPLOYMENT,stage=$stage" "${flags[@]}" "${FURTHER[@]}"
}
open_to_all() {
  local off
  off=$(ask run services describe "$SERVICE" --region="$REGION" \
    --format="value(metadata.annotations['run.googleapis.com/invoker-iam-disabled'])") || true
  [[ $off != true ]] || return 0
  ! is_granted allUsers roles/run.invoker run services get-iam-policy "$SERVICE" --region="$REGION" || return 0
  if $ALL_USERS && run run services add-iam-policy-binding "$SERVICE" --region="$REGION" --member=allUsers \
    --role=roles/run.invoker >/dev/null; then return; fi
  run run services update "$SERVICE" --region="$REGION" --no-invoker-iam-check || forbidden
}

# serve SERVICE FLAG…: --to-latest lets the traffic follow the newest revision again, after a draft or a revert tied it.
serve() { run run services update-traffic "$1" --region="$REGION" "${@:2}"; }

draft() {
  local side
  for side in "${SIDES[@]}"; do
    exists "$side" || die "$side is not deployed yet, and a first revision always serves: ./deploy.sh"
  done
  for side in "${SIDES[@]}"; do deploy_side "$side" draft; done
  say "" "The draft is at $(draft_url_of "$SERVICE"), without traffic. Next: ./deploy.sh test, then ./deploy.sh promote."
}

# The revision that is tagged as draft; empty where there is none.
draft_of() {
  ask run services describe "$1" --region="$REGION" --flatten='status.traffic[]' \
    --format='csv[no-heading](status.traffic.tag,status.traffic.revisionName)' | sed -n 's/^draft,//p'
}
serving() {
  ask run services describe "$1" --region="$REGION" --flatten='status.traffic[]' \
    --format='csv[no-heading](status.traffic.percent,status.traffic.revisionName)' | sed -n 's/^100,//p'
}
deployment_of() {
  ask run revisions describe "$1" --region="$REGION" --format='value(metadata.labels.deployment)'
}
# REVISION,DEPLOYMENT,STAGE of each revision that is sound, the newest first.
revisions_of() {
  ask run revisions list --service="$1" --region="$REGION" --sort-by='~metadata.creationTimestamp' \
    --flatten='status.conditions[]' --filter='status.conditions.type=Ready AND status.conditions.status=True' \
    --format='csv[no-heading](metadata.name,metadata.labels.deployment,metadata.labels.stage)'
}

promote() {
  local draft deliver latest
  draft=$(draft_of "$SERVICE")
  [[ -n $draft ]] || die "there is no draft: ./deploy.sh draft"
  if [[ $DELIVERY == direct ]]; then
    serve "$SERVICE" --to-revisions="$draft=100" --remove-tags=draft
    say "The draft serves. To go back: ./deploy.sh revert"
    return
  fi
  # The draft's public side hands its tasks to the draft's `deliver`. What serves must not: the next draft would take
  # them over. So it is copied, with the address of the `deliver` that serves; nothing is built anew.
  latest=$(ask run services describe "$SERVICE" --region="$REGION" \
    --format='csv[no-heading](spec.template.metadata.labels.deployment,spec.template.metadata.labels.stage)')
  [[ ${latest%,*} == "$(deployment_of "$draft")" ]] || die "something was deployed after the draft: ./deploy.sh draft"
  deliver=$(draft_of "$DELIVER")
  [[ -n $deliver ]] || die "there is no draft of $DELIVER: ./deploy.sh draft"
  serve "$DELIVER" --to-revisions="$deliver=100"
  [[ $latest == *,live ]] || run run services update "$SERVICE" --region="$REGION" \
    --update-env-vars="DELIVER_URL=$(url_of "$DELIVER")" --update-labels=stage=live
  serve "$SERVICE" --to-latest --remove-tags=draft
  say "The draft serves. To go back: ./deploy.sh revert"
}

versions() {
  local side
  echo "FUNCTION_URL: $(url_of "$SERVICE")"
  for side in "${SIDES[@]}"; do
    echo "$side, serving: $(serving "$side")"
    ask run revisions list --service="$side" --region="$REGION" --sort-by='~metadata.creationTimestamp' \
      --format='table(metadata.name:label=REVISION,metadata.labels.deployment:label=DEPLOYMENT,
        metadata.labels.stage:label=STAGE,metadata.creationTimestamp.date(tz=UTC):label=DEPLOYED)' || die "$side is not deployed."
  done
}

# Both sides go back together: to the revisions that were deployed with the one that is named.
revert() {
  local deployment side revision
  if [[ -n ${1-} ]]; then
    deployment=$(deployment_of "$1") || true
    [[ -n $deployment ]] || die "there is no revision $1: ./deploy.sh versions"
  else
    deployment=$(deployment_before "$(deployment_of "$(serving "$SERVICE")")")
    [[ -n $deployment ]] || die "there is no deployment before this one: ./deploy.sh versions"
  fi
  for side in "${SIDES[@]}"; do
    [[ -n $(revision_in "$side" "$deployment") ]] ||
      die "$side has no sound revision of the deployment $deployment: ./deploy.sh versions"
  done
  for side in "${SIDES[@]}"; do
    revision=$(revision_in "$side" "$deployment")
    serve "$side" --to-revisions="$revision=100"
    say "$revision serves."
  done
}
# A deployment's name is its time, so that the one before is the next smaller.
deployment_before() {
  local revision deployment stage
  while IFS=, read -r revision deployment stage; do
    if may_serve "$SERVICE" "$stage" && [[ -n $deployment && $deployment < $1 ]]; then echo "$deployment" && return; fi
  done < <(revisions_of "$SERVICE" | sort -t, -k2,2r)
}
revision_in() {
  local revision deployment stage
  while IFS=, read -r revision deployment stage; do
    if [[ $deployment == "$2" ]] && may_serve "$1" "$stage"; then echo "$revision" && return; fi
  done < <(revisions_of "$1")
}
# In queue mode a draft's public side serves only as its copy: see promote.
may_serve() { [[ $1 != "$SERVICE" || $DELIVERY == direct || $2 != draft ]]; }

# ---- secrets and their rotation ----

secret() {
  local name=${1-} value
  name=${name^^} && name=${name//-/_}
  [[ $name =~ ^[A-Z][A-Z0-9_]*$ ]] || die "which secret? ./deploy.sh secret SENDGRID_API_KEY"
  value=$(read_value "$name")
  case $name in
    SENDGRID_API_KEY) [[ $value =~ ^SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}$ ]] || malformed "SG., 22, a dot and 43 characters" ;;
    CALLOUT_SIGNING_KEY) is_signing_key "$value" || malformed "whsec_ and 24 to 64 bytes in base64" ;;
    *) [[ -n $value ]] || malformed "something" ;;
  esac
  enable_apis
  make_secret "$name"
  printf '%s' "$value" | store "$name"
  secrets_of "${SIDES[0]}" | grep -qx "$name" ||
    say "Declare it in $SETTINGS, and deploy: ${name}_SECRET: \"projects/$PROJECT/secrets/$(secret_id "$name")\""
}
is_signing_key() {
  local key
  [[ -n $1 ]] || return
  for key in $1; do [[ $key =~ ^whsec_[A-Za-z0-9+/]{32,86}={0,2}$ ]] || return; done
}
malformed() { die "that is no value for it: it has to be $1. Nothing was stored."; }
read_value() {
  local value
  if [[ -t 0 ]]; then
    read -rsp "$1 (it is not shown): " value && echo >&2
  else
    value=$(cat)
  fi
  printf '%s' "$value"
}

# The order is what makes it safe: first the function takes both keys, then Auth0 signs with the new one, and only when
# nothing signed with the old one is left does the function forget it.
rotate_signing_key() {
  local keys
  mapfile -t keys < <(value_of CALLOUT_SIGNING_KEY | tr -s '[:space:]' '\n' | grep .)
  ((${#keys[@]})) || die "there is no key yet: ./deploy.sh"
  if [[ ${1-} == finish ]]; then
    finish_signing_key "${keys[@]}"
    return
  fi
  if ((${#keys[@]} == 1)); then
    { new_signing_key && printf '\n%s' "${keys[0]}"; } | store CALLOUT_SIGNING_KEY
  fi
  say "The function takes the old key and a new one from now on. Next:" \
    "1. Put the new key into the Action's secret CALLOUT_SIGNING_KEY, and deploy the Action. This prints it:" \
    "   gcloud secrets versions access latest --secret=$(secret_id CALLOUT_SIGNING_KEY) --project=$PROJECT | head -n 1" \
    "2. ./deploy.sh doctor    (with AUTH0_DOMAIN and AUTH0_TOKEN set, the Action itself calls the function)" \
    "3. ./deploy.sh rotate-signing-key finish"
}
finish_signing_key() {
  local waiting
  (($# > 1)) || die "no rotation is under way: ./deploy.sh rotate-signing-key"
  if [[ $DELIVERY == queue ]]; then
    waiting=$(ask tasks list --queue="$QUEUE" --location="$REGION" --limit=1 --format='value(name)') ||
      die "the queue cannot be read, so nothing is done."
    [[ -z $waiting ]] || die "the queue still holds notices, which may be signed with the old key: try again later." \
      "gcloud tasks list --queue=$QUEUE --location=$REGION --project=$PROJECT shows them."
  fi
  printf '%s' "$1" | store CALLOUT_SIGNING_KEY
  disable_old_versions CALLOUT_SIGNING_KEY
  say "The new key alone is taken, in five minutes at the latest."
}

# First the new key is tried, then it is stored, and the old one dies last.
rotate_sendgrid_key() {
  local value
  if [[ ${1-} == finish ]]; then
    disable_old_versions SENDGRID_API_KEY
    return
  fi
  value=$(read_value SENDGRID_API_KEY)
  printf '%s' "$value" | examine key || die "nothing was stored."
  printf '%s' "$value" | secret SENDGRID_API_KEY
  say "The function uses the new key in five minutes at the latest. Then:" \
    "1. ./deploy.sh test" \
    "2. Delete the old key in SendGrid: https://app.sendgrid.com/settings/api_keys" \
    "3. ./deploy.sh rotate-sendgrid-key finish"
}

disable_old_versions() {
  local version newest
  newest=$(ask secrets versions describe latest --secret="$(secret_id "$1")" --format='value(name.basename())')
  for version in $(ask secrets versions list "$(secret_id "$1")" --filter=state=ENABLED --format='value(name.basename())'); do
    [[ $version == "$newest" ]] || run secrets versions disable "$version" --secret="$(secret_id "$1")" >/dev/null
  done
}

# ---- looking ----

doctor() { examine "$@"; }

# The doctor reads the settings as a side that sends mail has them; secrets through Secret Manager, as who is signed in.
examine() {
  local url=
  environment_of "${SIDES[0]}" "" resource >"$SCRATCH/doctor.yaml"
  [[ $DELIVERY == direct ]] || entry TASKS_QUEUE "projects/$PROJECT/locations/$REGION/queues/$QUEUE" >>"$SCRATCH/doctor.yaml"
  if exists "$SERVICE"; then
    if [[ -n $(draft_of "$SERVICE") ]]; then url=$(draft_url_of "$SERVICE"); else url=$(url_of "$SERVICE"); fi
    say "looking at $url"
  fi
  GOOGLE_ACCESS_TOKEN=$(token) python -m doctor "$@" --deployed --env "$SCRATCH/doctor.yaml" ${url:+--url "$url"}
}

# It mails nobody: the sample is a callout of the contract's `sandbox`.
test() {
  exists "$SERVICE" || die "$SERVICE is not deployed: ./deploy.sh"
  examine callout
}

# ---- the end ----

remove() {
  local what answer
  mapfile -t what < <(removable)
  ((${#what[@]})) || die "nothing of $SERVICE is there."
  printf 'This deletes, in %s:\n' "$PROJECT" >&2
  printf '  %s\n' "${what[@]}" >&2
  echo "It leaves: the APIs, the sources and images of the builds, the logs, and what is in Auth0 and SendGrid." >&2
  [[ $DELIVERY == direct ]] || echo "Notices that wait in the queue are lost, and its name is blocked for about a week." >&2
  read -rp "Unbind the Action in Auth0 first. Type $SERVICE to go on: " answer || true
  [[ $answer == "$SERVICE" ]] || die "nothing was deleted."
  for what in "${what[@]}"; do remove_one "$what"; done
}
# KIND NAME of all that is there, in the order in which it can be deleted. Secrets are those that deploy.sh has made.
removable() {
  local side id
  for side in "$SERVICE" "$DELIVER"; do ! exists "$side" || echo "service $side"; done
  ! ask tasks queues describe "$QUEUE" --location="$REGION" >/dev/null || echo "queue $QUEUE"
  for id in $(ask secrets list --filter="labels.app=$SERVICE" --format='value(name.basename())'); do echo "secret $id"; done
  for id in "$SERVICE" "$SERVICE-deliver" "$SERVICE-invoker" "$SERVICE-builder"; do
    ! ask iam service-accounts describe "$(account "$id")" >/dev/null || echo "account $(account "$id")"
  done
}
remove_one() {
  local kind=${1%% *} name=${1#* }
  case $kind in
    service) run run services delete "$name" --region="$REGION" ;;
    queue) run tasks queues delete "$name" --location="$REGION" ;;
    secret) run secrets delete "$name" ;;
    account)
      [[ $name != "$(account "$SERVICE-builder")" ]] ||
        revoke projects "$PROJECT" "serviceAccount:$name" roles/run.builder --condition=None
      run iam service-accounts delete "$name"
      ;;
  esac
}

# ---- the command line ----

main() {
  local command
  SETTINGS=env.yaml
  split_arguments "$@"
  set -- "${WORDS[@]}"
  while getopts e:h option; do
    case $option in
      e) if [[ $OPTARG == /* ]]; then SETTINGS=$OPTARG; else SETTINGS=$PWD/$OPTARG; fi ;;
      h) usage && exit ;;
      *) usage >&2 && exit 2 ;;
    esac
  done
  shift $((OPTIND - 1))
  cd "$(dirname "${BASH_SOURCE[0]}")"
  command=${1-} && shift $(($# > 0))
  PYTHON=${PYTHON:-.venv/bin/python} PAUSE=${PAUSE:-5} PLAN=false DEPLOYMENT=$(date -u +%Y%m%d-%H%M%S) ALL_USERS=true
  case $command in
    help) usage && exit ;;
    plan) PLAN=true && exec 3>&1 ;;
    "" | setup | deploy | draft | promote | versions | revert | secret | test | doctor | remove) exec 3>&2 ;;
    rotate-signing-key | rotate-sendgrid-key) exec 3>&2 ;;
    *) usage >&2 && exit 2 ;;
  esac
  SCRATCH=$(mktemp -d) && trap 'rm -rf "$SCRATCH"' EXIT
  read_settings
  check_project
  case $command in
    "" | plan)
      check_rights setup deploy
      check_policies
      set_up
      deploy
      ;;
    setup)
      check_rights setup
      check_policies
      set_up
      ;;
    deploy)
      check_rights deploy
      check_policies
      deploy
      ;;
    draft)
      check_rights deploy
      draft
      ;;
    *) "${command//-/_}" "$@" ;;
  esac
}
# What stands before -- is ours, what stands after it is for gcloud.
split_arguments() {
  WORDS=() FURTHER=()
  while (($#)) && [[ $1 != -- ]]; do WORDS+=("$1") && shift; done
  (($# == 0)) || FURTHER=("${@:2}")
}

# In one: bash would read on in this file when main has ended, and the file may have changed by then.
{ main "$@"; exit; }
