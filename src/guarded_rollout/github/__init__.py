"""GitHub besides issues: reviews as sign-offs, pull requests, workflow runs, branch protection."""
