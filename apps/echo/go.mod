module istio-canary/apps/echo

go 1.26.0
