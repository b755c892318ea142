"""Set up, deploy, and operate the function on Google Cloud; `deploy.sh` is its command line."""
