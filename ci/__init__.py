"""What the pipelines of GitHub and GitLab run, beside `canary` and `pulumi`: only Python's standard library is needed.

The jobs that may write a comment or an issue install nothing, so that no other code runs with their token.
"""
