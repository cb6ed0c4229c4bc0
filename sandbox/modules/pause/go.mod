module istio-canary/sandbox/pause

go 1.26.0
