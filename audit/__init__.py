"""The audit: compare every password change in Auth0's log with the notices in SendGrid's log."""
