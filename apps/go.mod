module istio-canary/apps

go 1.26.0
